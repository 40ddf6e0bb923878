"""The run folder, and the one function that walks the whole way."""
