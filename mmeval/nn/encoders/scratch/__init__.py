"""Small encoders that start from random weights."""
