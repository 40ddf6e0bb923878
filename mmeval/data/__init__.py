"""Data sets: reading and preparing a source, the Store, and batches for models."""
