"""Training and prediction of torch models."""
