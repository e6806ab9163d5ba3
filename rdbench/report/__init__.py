"""The report: one page of HTML that works offline.

This wing imports every wing right of the tables and what is below them, but for `gate`. It computes nothing that another wing computes.
"""
