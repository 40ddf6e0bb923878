"""Predictions to Scores: metrics per language with bootstrap intervals; NumPy and PyArrow only, no torch."""
