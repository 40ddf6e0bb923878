"""Encoders of the library sentence-transformers."""
