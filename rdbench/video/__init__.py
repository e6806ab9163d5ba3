"""Clips, pictures and bits: reading sources, finding faces, encoding, decoding, parsing streams.

This wing imports `backends` for what a recogniser takes as input, and everything below it. All that knows FFmpeg lives
here.
"""
