"""Options that can be changed after a run has recorded them."""

from __future__ import annotations

import plain
from pydantic import ConfigDict

MMEVAL_API = "1.0"


class LooseConfig(plain.PlainConfig):
    """Options that aren't frozen."""

    model_config = ConfigDict(frozen=False)


register_models = plain.offers(plain.Plain, config=LooseConfig)
