"""How far exported models differ from torch.

``python -m benchmarks.exporting`` trains the preset ``tiny`` of each torch model for one epoch on a small table,
exports it to ONNX, and prints a table for docs/embedding.md: the largest difference of a probability, and of a feature
of the embedding relative to the largest feature, over the validation rows. It takes about a minute per model on two
cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import mmeval
from benchmarks.small_table import write_table
from mmeval.inference.export import export

MODELS = ("clip", "cma-clip", "coca", "embracenet", "imagebert", "kaleidobert", "late-fusion", "mmbt", "perceiver")
ONE_MODALITY = ("unimodal",)


def main() -> None:
    """Train and export every model; print a row of the table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=[*MODELS, *ONE_MODALITY])
    models = parser.parse_args().models
    with tempfile.TemporaryDirectory() as folder:
        table = write_table(Path(folder) / "shop")
        print("| model | probability | embedding |\n|---|---|---|", flush=True)
        for name in models:
            run = mmeval.run(
                name,
                f"table:{table}",
                preset="tiny",
                set={"recipe.epochs": 1},
                device="cpu",
                output=Path(folder) / "runs" / name,
            )
            verified = export(run.path, Path(folder) / "exported" / name).verification
            print(f"| {name} | {verified.probabilities:.1e} | {verified.embedding or 0:.1e} |", flush=True)


if __name__ == "__main__":
    main()
