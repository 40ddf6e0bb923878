"""Kill mmeval at random moments, repeat the command, and compare the results with a run that was not killed.

    python benchmarks/kills.py --kills 210

Each trial starts a command on the files that the earlier stages wrote, kills it by SIGKILL at a random moment of one
stage (prepare, embed, train, predict, score, report, `mmeval score`, `mmeval report`, `mmeval bench`), and repeats it.
The script prints for each stage how many repeated commands gave the same predictions and scores, how many gave others,
how many failed, and how many `.partial` files were left. A process that ends before it is killed is started again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.small_table import write_table  # noqa: E402 - needs the root on the path

SMALL = {
    "image_encoder": "efficientnet-lite0:64",
    "text_encoder": "char-ngrams:512x16",
    "width": 16,
    "recipe.epochs": 6,
    "recipe.patience": 6,
    "recipe.batch_size": 16,
}
OUTPUT = "output.txt"
"""File in the working folder with the output of the last command."""
LIMIT = 300
"""Seconds after which a hanging command counts as failed."""


@dataclass
class Stage:
    """A stage in which processes are killed, and the outcomes so far."""

    name: str
    words: list[str]
    """The arguments of `mmeval`."""
    before: Path
    """A copy of the working folder (home, run folders) before the command."""
    window: tuple[float, float]
    """Start and end of the stage, in seconds after the start of the command."""
    identical: int = 0
    unusable: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    leftovers: int = 0


def main() -> None:
    """Kill and repeat commands, and print the outcomes per stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    _command()  # imports everything now, so that imports aren't timed
    with tempfile.TemporaryDirectory() as folder:
        stages, results = _run_once(Path(folder))
        print(f"{'stage':<16} kills identical different unusable leftovers", flush=True)
        for number, stage in enumerate(stages):
            kills = options.kills // len(stages) + (number < options.kills % len(stages))
            for _ in range(kills):
                _trial(stage, Path(folder), results, rng)
            cells = (kills, stage.identical, len(stage.different), len(stage.unusable), stage.leftovers)
            print(f"{stage.name:<16} {' '.join(f'{cell:>8}' for cell in cells)}", flush=True)
            for failure in [*stage.different, *stage.unusable]:
                print(f"    {failure}", flush=True)
        print(f"{sum(stage.identical for stage in stages)} of {options.kills} identical")


def _run_once(folder: Path) -> tuple[list[Stage], dict[str, list[object]]]:
    """Run all commands without a kill; return the stages with their windows, and the results of each command."""
    table = write_table(folder / "shop")
    data = ["--dataset", f"table:{table}"]
    run = ["run", "--plugin", "embracenet", *data, "--device", "cpu", "--output", "run"]
    run += [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    bench = ["bench", f"table:{table}", "--plugins", "tfidf,unimodal", "--device", "cpu", "--output", "bench"]
    work = folder / "work"
    work.mkdir()
    stages: list[Stage] = []

    def snapshot(name: str) -> Path:
        copy = folder / f"before-{name}"
        shutil.copytree(work, copy, symlinks=True)
        return copy

    empty = snapshot("prepare")
    seconds = _complete(["data", "prepare", f"table:{table}"], work)
    stages.append(Stage("prepare", ["data", "prepare", f"table:{table}"], empty, (0.0, seconds)))
    prepared = snapshot("embed")
    started = time.time()
    seconds = _complete(run, work)
    # The last file that a stage writes marks its end.
    written = {
        "embed": _last_change(work, "home/embeddings/**/*"),
        "train": _last_change(work, "run/models/seed-0/model.safetensors"),
        "predict": _last_change(work, "run/predictions/*.parquet"),
        "score": _last_change(work, "run/scores.parquet"),
        "report": _last_change(work, "run/README.md"),
    }
    begin = 0.0
    for name, moment in written.items():
        end = max(moment - started, begin) if moment else begin
        stages.append(Stage(name, run, prepared, (begin, end if name != "report" else seconds)))
        begin = end
    finished = snapshot("finished")
    stages += [
        Stage(f"mmeval {name}", [name, "run"], finished, (0.0, _complete([name, "run"], work)))
        for name in ("score", "report")
    ]
    stages.append(Stage("mmeval bench", bench, finished, (0.0, _complete(bench, work))))
    results = {"run": _results(work / "run"), "bench": _results(work / "bench")}
    shutil.rmtree(work)
    return stages, results


def _trial(stage: Stage, folder: Path, results: dict[str, list[object]], rng: random.Random) -> None:
    """Kill the command once, repeat it, and count the outcome in ``stage``."""
    work, status = folder / "work", 0
    while not os.WIFSIGNALED(status):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(stage.before, work, symlinks=True)
        moment = rng.uniform(*stage.window)
        process = _start(stage.words, work)
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)  # has no effect on a process that ended and was not waited for
        _, status = os.waitpid(process, 0)
    where = f"killed after {moment:.2f} s"
    code = _wait(_start(stage.words, work))
    if code:
        output = (work / OUTPUT).read_text(errors="replace").strip().splitlines()
        stage.unusable.append(f"{where}: exit status {code}: {output[-1] if output else ''}")
    else:
        name = "bench" if stage.words[0] == "bench" else "run"
        if stage.words[0] != "data" and _results(work / name) != results[name]:
            stage.different.append(where)
        else:
            stage.identical += 1
    stage.leftovers += sum(1 for path in work.rglob("*.partial"))
    shutil.rmtree(work)


def _results(folder: Path) -> list[object]:
    """Return predictions and scores of every run folder in ``folder``, as tables without the name of the run."""
    paths = sorted([*folder.rglob("predictions/*.parquet"), *folder.rglob("scores.parquet")])
    tables = [(path.relative_to(folder).as_posix(), pq.ParquetFile(path).read()) for path in paths]
    return [(name, table.drop_columns([c for c in ("run",) if c in table.schema.names])) for name, table in tables]


def _last_change(work: Path, pattern: str) -> float | None:
    """Return when the last of the files that match ``pattern`` was written; None if there are none."""
    times = [path.stat().st_mtime for path in work.glob(pattern) if path.is_file()]
    return max(times) if times else None


def _complete(words: list[str], work: Path) -> float:
    """Run a command to its end; return seconds."""
    started = time.perf_counter()
    if code := _wait(_start(words, work)):
        raise SystemExit(f"mmeval {' '.join(words)} failed ({code}): {(work / OUTPUT).read_text()}")
    return time.perf_counter() - started


def _wait(process: int) -> int:
    """Wait for a process, :data:`LIMIT` seconds at most; return its exit status, -1 if it was killed."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return -1


def _start(words: list[str], work: Path) -> int:
    """Fork a child that runs a command in ``work``; mmeval is already imported, so that no kill hits the imports."""
    call = _command()
    process = os.fork()
    if process:
        return process
    try:
        output = os.open(work / OUTPUT, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(work)
        os.environ["MMEVAL_HOME"] = str(work / "home")
        sys.argv = ["mmeval", *words]
        call()
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    os._exit(70)


def _command() -> Callable[[], None]:
    """Import all that the commands need; return the function behind `mmeval`."""
    import accelerate  # noqa: F401
    import jinja2  # noqa: F401
    import torch

    import mmeval.cli.main
    import mmeval.runs.pipeline
    import mmeval.studies.bench.run

    torch.set_num_threads(1)
    return mmeval.cli.main.main


if __name__ == "__main__":
    main()
