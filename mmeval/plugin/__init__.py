"""Plugins: what they declare, how they are found, and the one that a user names."""
