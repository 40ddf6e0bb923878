"""Measurements; a package, so that no other that is called so is found in its place."""
