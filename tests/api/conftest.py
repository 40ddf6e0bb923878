"""Plugins that a test installs, as in the tests of the plugin loader."""

from tests.plugin.conftest import distribution, install

__all__ = ["distribution", "install"]
