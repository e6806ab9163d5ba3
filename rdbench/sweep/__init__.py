"""The sweep: experiment, plan, workers, units, scores; slow, parallel, resumable.

This wing imports `datasets` and what is below it, never `training`. It fills the tables, and nothing right of the tables
imports it.
"""
