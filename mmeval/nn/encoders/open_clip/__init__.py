"""Encoders of the library open_clip."""
