"""Flips single bits in the files that mmeval keeps, and looks at what the next command makes of it.

    python benchmarks/bit_flips.py --flips 10000

A small run folder, its Store and its embedding cache are made. Then, again and again, one random bit of one random file
is flipped (files are drawn evenly, so that small ones get their share), and what reads that file is called: `mmeval
report`, `mmeval score` or `mmeval run --output` for the run folder, opening and reading all of it for the Store, a
look-up of all embeddings for the cache. Each ends in one of: refused in one sentence, said or made again in one line,
without effect, or one of the two that must not be: other numbers without a word, or a traceback.
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

from benchmarks.small_table import write_table  # noqa: E402 - found once the root is on the path

CHANGES = (
    "image_encoder=efficientnet-lite0:64",
    "text_encoder=char-ngrams:512x16",
    "width=16",
    "recipe.epochs=1",
    "recipe.batch_size=16",
)
COLUMNS = "image=image,text=text,language=language,label=label,id=id,group=group"
OUTCOMES = ("refused", "said", "without effect", "SILENT", "TRACEBACK")


class Trial:
    """The files of one kind, and what reads them."""

    def __init__(self, name: str, folder: Path, read: Callable[[random.Random], object]) -> None:
        self.name, self.folder, self._read = name, folder, read
        self.kept = folder.with_name(f"{folder.name}-kept")
        shutil.copytree(folder, self.kept, symlinks=True)
        self.files = sorted(path.relative_to(folder) for path in folder.rglob("*") if self._is_kept(path))
        self.expected = read(random.Random(0))
        self.counts: Counter[tuple[str, str]] = Counter()
        self.bad: list[str] = []

    @staticmethod
    def _is_kept(path: Path) -> bool:
        return path.is_file() and path.stat().st_size > 0 and not path.name.endswith(".lock")

    def flip(self, rng: random.Random) -> None:
        """Flip one bit, read, note the outcome, and put all files back."""
        from mmeval.errors import UserError

        file = rng.choice(self.files)
        path = self.folder / file
        bit = rng.randrange(8 * path.stat().st_size)
        data = bytearray(path.read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(data))
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                found = self._read(rng)
            same = found == self.expected
            outcome = ("said" if said.getvalue().strip() else "without effect") if same else "SILENT"
        except UserError as error:
            outcome = "refused" if "\n" not in str(error) else "TRACEBACK"
        except Exception:
            outcome = "TRACEBACK"
            self.bad.append(f"{file}, bit {bit}: {traceback.format_exc()}")
        if outcome == "SILENT":
            self.bad.append(f"{file}, bit {bit}: other numbers")
        self.counts[_kind(file), outcome] += 1
        self._put_back()

    def _put_back(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder, symlinks=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMEVAL_HOME"] = str(Path(folder) / "home")
        os.chdir(folder)
        trials = _trials(Path(folder))
        for number in range(options.flips):
            trials[number % len(trials)].flip(rng)
            if number % 500 == 499:
                print(f"{number + 1} flips", file=sys.stderr, flush=True)
    print(f"{'kind':<12} {'file':<28} {' '.join(f'{outcome:>14}' for outcome in OUTCOMES)}")
    total: Counter[str] = Counter()
    for trial in trials:
        for file in sorted({file for file, _ in trial.counts}):
            counts = [trial.counts[file, outcome] for outcome in OUTCOMES]
            print(f"{trial.name:<12} {file:<28} {' '.join(f'{count:>14,}' for count in counts)}")
            total.update(dict(zip(OUTCOMES, counts, strict=True)))
    print(f"{'all':<41} {' '.join(f'{total[outcome]:>14,}' for outcome in OUTCOMES)}")
    for trial in trials:
        for bad in trial.bad[:5]:
            print(f"{trial.name}: {bad}")


def _trials(folder: Path) -> list[Trial]:
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
    made = RunFolder(folder / "run")
    request = Request(
        plugin="embracenet",
        dataset=DatasetRequest(f"table:{table}", columns=COLUMNS),
        changes=CHANGES,
        device="cpu",
        output=made.path,
    )
    run(request)

    def of_run(rng: random.Random) -> object:
        # Training takes a second, so that it is not asked for as often.
        call = rng.choices((report_again, score_again, None), weights=(80, 15, 5))[0]
        if call is None:
            run(request)
        else:
            call(made)
        content = made.content()
        return content.scores.to_pylist(), content.gallery, content.record.plan

    def of_store(rng: random.Random) -> object:  # noqa: ARG001 - all of it is read each time
        store = open_data(request.dataset, Manager()).store
        sha = hashlib.sha256(repr((store.info, store.tasks, store.examples.to_pylist())).encode())
        for row in range(store.image_count):
            sha.update(store.image(row))
        return sha.hexdigest()

    encoder = image_encoder("efficientnet-lite0:64", frozen=True)

    def of_embeddings(rng: random.Random) -> object:  # noqa: ARG001
        store = open_data(request.dataset, Manager()).store
        rows = np.arange(store.image_count)
        return image_embeddings(encoder, store, rows, torch.device("cpu")).gather(rows).tobytes()

    of_embeddings(rng=random.Random(0))
    home = folder / "home"
    return [
        Trial("run folder", made.path, of_run),
        Trial("Store", home / "stores", of_store),
        Trial("embeddings", home / "embeddings", of_embeddings),
    ]


def _kind(file: Path) -> str:
    """The name of a file without what differs from run to run."""
    name = file.name
    for prefix in ("examples-", "images-", "part-", "tokens-"):
        if name.startswith(prefix):
            return f"{prefix}*{file.suffix}"
    return name


if __name__ == "__main__":
    main()
