"""Leaderboards: a static site over many runs and data sets."""
