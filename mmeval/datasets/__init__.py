"""The data sets of the field, each from its published files."""
