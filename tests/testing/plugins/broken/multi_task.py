"""Works only with two tasks."""

from __future__ import annotations

import plain

import mmeval

MMEVAL_API = "1.0"


class Pair(plain.Plain):
    def __init__(self, config: plain.PlainConfig, context: mmeval.ModelContext) -> None:
        super().__init__(config, context)
        self.first, self.second = context.tasks


register_models = plain.offers(Pair)
