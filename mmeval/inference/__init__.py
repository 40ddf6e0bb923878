"""Finished runs applied to new data: classes, probabilities and embeddings."""
