"""Encoders whose weights come in a Python package."""
