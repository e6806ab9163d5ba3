"""Statistics: metrics from sums, intervals, Bjøntegaard deltas, interpolation.

Pure functions of arrays, which import ground files and nothing else of rdbench. What a sweep, a figure and a gate compute
alike is computed here once.
"""
