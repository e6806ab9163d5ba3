"""Talking, expressive faces, drawn from a seed.

`subject` says who is drawn, `signals` what moves and when, `action_units` how feeling becomes movement of the
face, `picture` turns all three into frames.
"""

from __future__ import annotations

__all__: list[str] = []
