"""Rate-distortion benchmarking of recognition: how much accuracy does each bit of video buy?"""

__version__ = "0.1.0"
