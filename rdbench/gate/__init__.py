"""The gate: a run against a reference, curve by curve, and the simulation of its verdicts.

This wing imports `curves` and what is below it. It judges stored tables alone and draws nothing.
"""
