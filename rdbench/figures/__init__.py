"""Figures: what a run can be drawn as, in one style, with captions.

This wing imports `curves` and what is below it. It is the only wing with matplotlib.
"""
