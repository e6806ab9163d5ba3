"""Sets of clips: folders, AVEC 2016, RECOLA and the drawn set.

This wing imports `video` and what is below it. A set yields clips with subjects and partitions, and knows of no
condition.
"""
