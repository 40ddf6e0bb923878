"""A benchmark: every model on one data set, side by side in one table."""
