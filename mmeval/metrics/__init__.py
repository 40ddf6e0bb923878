"""Predictions -> Scores: per-language metrics with bootstrap intervals, in NumPy alone."""
