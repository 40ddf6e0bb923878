"""Finding, listing, loading and creating plugins."""
