"""Flip single bits in mmeval's files and count how the next command reacts.

    python benchmarks/bit_flips.py --flips 10000

The script creates a small run folder with its Store and embedding cache. Each trial flips one random bit of one random
file (each file is equally likely, so that small ones are tested too) and reads the file again: by `mmeval report`,
`mmeval score` or `mmeval run --output` for the run folder, by reading the whole Store, or by looking up all embeddings.
The outcome is one of: refused (a `UserError` of one sentence), reported (the same results and a note, for example that
a file was computed again), no effect, or one of two failures: SILENT (other results without a note) and TRACEBACK.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.small_table import write_table  # noqa: E402 - needs the root on the path

CHANGES = (
    "image_encoder=efficientnet-lite0:64",
    "text_encoder=char-ngrams:512x16",
    "width=16",
    "recipe.epochs=1",
    "recipe.batch_size=16",
)
COLUMNS = "image=image,text=text,language=language,label=label,id=id,group=group"
OUTCOMES = ("refused", "reported", "no effect", "SILENT", "TRACEBACK")


class Target:
    """A folder whose bits are flipped, the function that reads it, and the outcomes so far."""

    def __init__(self, name: str, folder: Path, read: Callable[[random.Random], object]) -> None:
        """Copy ``folder`` and read it once; ``read`` returns a value that is equal if the results are the same."""
        self.name, self.folder, self._read = name, folder, read
        self.original = folder.with_name(f"{folder.name}-original")
        shutil.copytree(folder, self.original, symlinks=True)
        self.files = sorted(path.relative_to(folder) for path in folder.rglob("*") if self._is_tested(path))
        self.expected = read(random.Random(0))
        self.counts: Counter[tuple[str, str]] = Counter()
        self.failures: list[str] = []

    @staticmethod
    def _is_tested(path: Path) -> bool:
        return path.is_file() and path.stat().st_size > 0 and not path.name.endswith(".lock")

    def flip(self, rng: random.Random) -> None:
        """Flip one bit, read, count the outcome, and restore all files."""
        from mmeval.errors import UserError

        file = rng.choice(self.files)
        path = self.folder / file
        bit = rng.randrange(8 * path.stat().st_size)
        data = bytearray(path.read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(data))
        stderr = io.StringIO()
        try:
            with contextlib.redirect_stderr(stderr):
                result = self._read(rng)
            noted = bool(stderr.getvalue().strip())
            outcome = ("reported" if noted else "no effect") if result == self.expected else "SILENT"
        except UserError as error:
            outcome = "refused" if "\n" not in str(error) else "TRACEBACK"
        except Exception:
            outcome = "TRACEBACK"
            self.failures.append(f"{file}, bit {bit}: {traceback.format_exc()}")
        if outcome == "SILENT":
            self.failures.append(f"{file}, bit {bit}: other results")
        self.counts[_kind(file), outcome] += 1
        self._restore()

    def _restore(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.original, self.folder, symlinks=True)


def main() -> None:
    """Flip bits and print the outcomes per file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMEVAL_HOME"] = str(Path(folder) / "home")
        os.chdir(folder)
        targets = _targets(Path(folder))
        for number in range(options.flips):
            targets[number % len(targets)].flip(rng)
            if number % 500 == 499:
                print(f"{number + 1} flips", file=sys.stderr, flush=True)
    print(f"{'kind':<12} {'file':<28} {' '.join(f'{outcome:>14}' for outcome in OUTCOMES)}")
    total: Counter[str] = Counter()
    for target in targets:
        for file in sorted({file for file, _ in target.counts}):
            counts = [target.counts[file, outcome] for outcome in OUTCOMES]
            print(f"{target.name:<12} {file:<28} {' '.join(f'{count:>14,}' for count in counts)}")
            total.update(dict(zip(OUTCOMES, counts, strict=True)))
    print(f"{'all':<41} {' '.join(f'{total[outcome]:>14,}' for outcome in OUTCOMES)}")
    for target in targets:
        for failure in target.failures[:5]:
            print(f"{target.name}: {failure}")


def _targets(folder: Path) -> list[Target]:
    """Create a run folder, its Store and its embedding cache in ``folder``."""
    import torch

    from mmeval import RunFolder
    from mmeval.data.open.resolve import open_data
    from mmeval.data.request import DatasetRequest
    from mmeval.engine.embeddings import image_embeddings
    from mmeval.nn import image_encoder
    from mmeval.plugin.manager import Manager
    from mmeval.runs.pipeline import run
    from mmeval.runs.request import Request
    from mmeval.runs.scoring import report_again, score_again

    table = write_table(folder / "shop", products=36)
    run_folder = RunFolder(folder / "run")
    request = Request(
        plugin="embracenet",
        dataset=DatasetRequest(f"table:{table}", columns=COLUMNS),
        changes=CHANGES,
        device="cpu",
        output=run_folder.path,
    )
    run(request)

    def read_run(rng: random.Random) -> object:
        # Training is rare because it takes a second.
        call = rng.choices((report_again, score_again, None), weights=(80, 15, 5))[0]
        if call is None:
            run(request)
        else:
            call(run_folder)
        content = run_folder.content()
        return content.scores.to_pylist(), content.gallery, content.record.plan

    def read_store(rng: random.Random) -> object:  # noqa: ARG001 - reads the whole Store each time
        store = open_data(request.dataset, Manager()).store
        sha = hashlib.sha256(repr((store.info, store.tasks, store.examples.to_pylist())).encode())
        for row in range(store.image_count):
            sha.update(store.image(row))
        return sha.hexdigest()

    encoder = image_encoder("efficientnet-lite0:64", frozen=True)

    def read_embeddings(rng: random.Random) -> object:  # noqa: ARG001
        store = open_data(request.dataset, Manager()).store
        rows = np.arange(store.image_count)
        return image_embeddings(encoder, store, rows, torch.device("cpu")).gather(rows).tobytes()

    read_embeddings(rng=random.Random(0))
    home = folder / "home"
    return [
        Target("run folder", run_folder.path, read_run),
        Target("Store", home / "stores", read_store),
        Target("embeddings", home / "embeddings", read_embeddings),
    ]


def _kind(file: Path) -> str:
    """Return the name of a file, with ``*`` for the part that differs from run to run."""
    name = file.name
    for prefix in ("examples-", "images-", "part-", "tokens-"):
        if name.startswith(prefix):
            return f"{prefix}*{file.suffix}"
    return name


if __name__ == "__main__":
    main()
