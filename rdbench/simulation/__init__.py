"""Simulation: synthetic subjects whose truth is known, how far intervals hold it, and what the gate would find.

This wing imports `gate`, `answers` and what is below them, and nothing but the command line imports it. Its numbers stand
in docs/simulation.md.
"""
