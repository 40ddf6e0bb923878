"""Publication of runs and data sets: to the Hub, to a folder, and in other tools' formats."""
