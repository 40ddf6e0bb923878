"""An option without a help text."""

from __future__ import annotations

import plain

MMEVAL_API = "1.0"


class BareConfig(plain.PlainConfig):
    """Options, one of which is a riddle."""

    gamma: float = 0.5


register_models = plain.offers(plain.Plain, config=BareConfig)
