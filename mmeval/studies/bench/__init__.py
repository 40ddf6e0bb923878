"""A benchmark: several models on one data set, compared in one table."""
