"""The command line: parses, calls, prints.

This wing sees every other one and is imported by none. Each command imports what it needs when it is called, so that
help starts at once.
"""

from rdbench.cli.group import main

__all__ = ["main"]
