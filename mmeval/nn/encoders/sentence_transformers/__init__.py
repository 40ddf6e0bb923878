"""Encoders from the library sentence-transformers."""
