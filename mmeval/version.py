"""The version of the package, which the build reads from here, and the version of the plugin API."""

__version__ = "0.1.0"

API_VERSION = "1.0"
"""MAJOR.MINOR of the plugin API: minor grows with additions, major with changes that can break a plugin."""
