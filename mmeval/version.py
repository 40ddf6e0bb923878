"""The versions: of the package (the build reads it from here), and of what plugins import."""

__version__ = "0.1.0"

API_VERSION = "1.0"
"""MAJOR.MINOR of the plugin API: minor when something is added, major when a plugin may have to change."""
