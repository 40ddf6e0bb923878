"""Bring your own catalogue: any table of images, texts and labels as a data set."""
