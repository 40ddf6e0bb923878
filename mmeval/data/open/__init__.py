"""Find the data set that a user names, and open it."""
