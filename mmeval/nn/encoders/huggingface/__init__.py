"""Encoders from the library transformers."""
