"""Does not state the version of the plugin API."""

from __future__ import annotations

import plain

register_models = plain.offers(plain.Plain)
