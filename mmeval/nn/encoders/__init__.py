"""Encoders, in a folder per library; ``mmeval.nn.build`` builds them by name."""
