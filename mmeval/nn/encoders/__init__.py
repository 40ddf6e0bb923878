"""The encoders, each a file; ``mmeval.nn.build`` makes them by name."""
