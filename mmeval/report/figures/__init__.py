"""Figures for papers by matplotlib: scores by language, calibration, confusions, learning curves and comparisons.

Only these modules and the command ``mmeval plot`` import matplotlib, which is the extra ``plot``.
"""
