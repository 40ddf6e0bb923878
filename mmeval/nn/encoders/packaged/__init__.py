"""Encoders whose weights are part of a Python package."""
