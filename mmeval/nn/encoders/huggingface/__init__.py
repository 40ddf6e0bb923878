"""Encoders of the library transformers."""
