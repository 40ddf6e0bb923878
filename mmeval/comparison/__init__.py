"""Predictions of several runs to paired tests, ranks and power; NumPy, SciPy and PyArrow only, no torch."""
