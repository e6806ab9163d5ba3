"""Curves: pooled points, envelopes, deltas and exports of stored tables.

This wing imports `tables`, `stats` and ground files alone, so that it needs no video and no network. Everything right of
the tables stands on it.
"""
