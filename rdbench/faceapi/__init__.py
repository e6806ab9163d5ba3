"""Recognisers of real faces: the networks of the npm package @vladmandic/face-api, in torch, with its own weights.

This wing imports ground files and `backends`. Weights are never part of rdbench: a person fetches them once, and they are
checked each time they are read.
"""
