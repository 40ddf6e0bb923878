"""An option that JSON changes."""

from __future__ import annotations

from typing import Any

import plain

MMEVAL_API = "1.0"


class TupleConfig(plain.PlainConfig):
    """Options, one of which is a tuple and then a list."""

    sizes: Any = (1, 2)
    """Sizes."""


register_models = plain.offers(plain.Plain, config=TupleConfig)
