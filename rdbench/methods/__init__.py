"""Methods over seeds: tables of families of models, claims and what the tables say of them.

This wing imports `curves` and what is below it. It knows no other room right of the tables.
"""
