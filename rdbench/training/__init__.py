"""Training: examples, recipes, the loop, tasks and the log of losses.

This wing imports `datasets` and what is below it, never `sweep`. It sees the pictures that the sweep's own scaler
makes.
"""
