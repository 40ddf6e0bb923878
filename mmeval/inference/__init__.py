"""Classification of new rows with the model of a run."""
