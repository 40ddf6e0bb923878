"""Training and prediction of torch models, on CPU and GPU alike."""
