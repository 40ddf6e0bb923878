"""A second preset that can't be built."""

from __future__ import annotations

import plain

import mmeval

MMEVAL_API = "1.0"


def build(config: plain.PlainConfig, context: mmeval.ModelContext) -> plain.Plain:
    if config.longest > 8:
        raise ValueError("n-grams of nine characters were never finished")
    return plain.Plain(config, context)


register_models = plain.offers(build, presets={"tiny": {}, "large": {"longest": 9}})
