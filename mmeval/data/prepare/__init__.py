"""Turn a source into a Store."""
