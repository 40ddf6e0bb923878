"""Many models on one data set: a run folder each, and one table of them all."""
