"""Benchmark scripts; a package, so that no other package of this name is imported instead."""
