"""Recognisers: what one is, which there are, their networks and weights.

This wing imports ground files, `tables` and `stats`. It sees frames and never the clip, condition or label that they
come from.
"""
