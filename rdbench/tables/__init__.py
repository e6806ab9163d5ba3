"""Tables of a run: columns, store, reading, names, text.

This wing imports ground files and `stats` alone. It knows no video, no network and no figure: both sides of the program
meet here.
"""
