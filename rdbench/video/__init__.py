"""Clips and pictures: reading sources, finding faces, bringing pictures to size.

This wing imports `backends` for what a recogniser takes as input, and everything below it. All that runs FFmpeg is started
here.
"""
