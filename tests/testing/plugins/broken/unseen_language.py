"""Has a fixed table of languages."""

from __future__ import annotations

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"
LATIN = {"cs", "es", "et", "hr", "hu", "lt", "lv", "ro", "sk", "sl", "tr"}
SCRIPTS = {"bg": "Cyrillic", "el": "Greek", **dict.fromkeys(LATIN, "Latin")}


class Scripts(plain.Plain):
    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        sharp = np.array([1.1 if SCRIPTS[language] == "Latin" else 1.0 for language in examples.languages])
        return {task: values * sharp[:, None] for task, values in super().scores(examples).items()}


register_models = plain.offers(Scripts)
