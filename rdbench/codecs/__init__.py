"""Codecs: profiles, what encoders are told, what they wrote, what that says.

This wing imports `datasets` and what is below it. An encoder is data here (a profile), never a class of its own.
"""
