"""Where prepared data and embeddings are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MMEVAL_HOME"


def home() -> Path:
    """The cache folder: ``$MMEVAL_HOME``, or ``mmeval`` in the user's cache folder."""
    if override := os.environ.get(VARIABLE):
        return Path(override).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("mmeval", appauthor=False)
