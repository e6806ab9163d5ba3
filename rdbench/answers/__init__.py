"""Answers: what people ask of curves, such as the bits that keep a share of the accuracy, and who loses.

This wing imports `curves` and what is below it. It draws nothing and judges nothing: figures, report and gate may ask it.
"""
