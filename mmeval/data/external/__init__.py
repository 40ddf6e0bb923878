"""Predictions that another tool made: tables of labels or probabilities, read and checked."""
