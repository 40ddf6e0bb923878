"""Bring your own catalogue: any table of pictures, texts and labels as a data set."""
