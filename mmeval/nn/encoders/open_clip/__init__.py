"""Encoders from the library open_clip."""
