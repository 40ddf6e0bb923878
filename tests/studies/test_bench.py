"""``mmeval bench``: one run per plugin and inputs, one table; finished runs are kept after failures."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mmeval import UserError
from mmeval.comparison.ranks import RankRange
from mmeval.errors import RunFolderError
from mmeval.plugin.manager import Manager
from mmeval.protocol import Inputs
from mmeval.record import Efficiency, Record
from mmeval.report.content import Content, Estimate
from mmeval.runs.folder import RunFolder
from mmeval.runs.request import Request
from mmeval.studies.bench.entries import parse_plugins
from mmeval.studies.bench.table import BenchmarkRow, markdown, table_lines, terminal

MODEL = '''"""Predicts the class by the length of the text and the presence of an image."""
import numpy as np

import mmeval

MMEVAL_API = "1.0"


class Length:
    def __init__(self, config, context):
        self.tasks = context.tasks

    def predict(self, examples, context):
        seen = np.array([len(t) for t in examples.texts]) + (examples.image_rows >= 0)
        yield {t.name: np.eye(len(t.classes), dtype=np.float32)[seen % len(t.classes)] for t in self.tasks}

    def save(self, folder):
        pass

    def load(self, folder):
        pass


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(
        name="NAME", summary="s", config=mmeval.ModelConfig, build=Length,
        version="1", inputs=INPUTS, paper="none", licence="MIT", presets={"tiny": {}}
    ))
'''


@pytest.fixture
def models(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, inputs: tuple[str, ...], broken: bool = False) -> str:
        path = tmp_path / f"{name}.py"
        text = MODEL.replace("NAME", name).replace("INPUTS", repr(inputs))
        path.write_text(text.replace("yield", "raise OSError(1, 'no luck')  #") if broken else text, encoding="utf-8")
        return str(path)

    return write


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1, 9)


def row(
    plugin: str,
    mean: float,
    beaten: Sequence[str] = (),
    beaten_by: Sequence[str] = (),
    undecided: Sequence[str] = (),
) -> BenchmarkRow:
    return BenchmarkRow(
        plugin,
        "tiny",
        "t",
        estimate(mean),
        estimate(mean - 0.02),
        "ko",
        12.3,
        "sig",
        Efficiency(parameters=1_200_000, flops_per_example=3e9, predict_examples_per_second=120.0, device_seconds=9),
        Inputs.IMAGE_TEXT,
        {Inputs.IMAGE: estimate(0.7)},
        RankRange(1, 3),
        list(beaten),
        list(beaten_by),
        list(undecided),
    )


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (row("a", 0.8, beaten=["image", "text"]), "yes"),
        (row("a", 0.7, beaten=["text"], undecided=["image"]), "can't tell: image"),
        (row("a", 0.4, beaten_by=["text", "tfidf (text)"]), "no: text, tfidf (text)"),
        (row("a", 0.4, beaten_by=["text"], undecided=["image"]), "no: text; can't tell: image"),
        (row("tfidf", 0.5), "–"),
    ],
)
def test_the_verdict_names_the_baselines_that_a_model_does_not_beat(result: BenchmarkRow, verdict: str) -> None:
    """A model that is no better than a unimodal baseline or tf-idf must not look like a success."""
    assert result.verdict == verdict


def test_the_table_of_the_terminal_shows_the_verdict_in_80_columns() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(terminal([row("late-fusion", 0.8, beaten_by=["text"], undecided=["tfidf (text)"])]))
    text = console.export_text()
    assert "beats baselines" in text
    assert "no: text; can't tell: tfidf" in text
    assert "…" not in text


def test_the_page_has_command_table_notes_signatures_and_failures() -> None:
    page = markdown(
        [row("a", 0.8, beaten=["image"])], {"b-text": "no luck"}, "mmeval bench x", ["Can't be told apart: a, b."]
    )
    assert "$ mmeval bench x" in page
    scores = "| a | image+text | tiny | 1–3 | 0.800 | 0.700–0.900 | 0.780 (ko) | 0.700 | – | yes |"
    assert f"{scores} 1.2 M | 3.0 G | 120 | 12 |" in page
    assert "- `b-text`: no luck" in page
    assert "\nCan't be told apart: a, b.\n" in page
    assert "\nsig\n" in page
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table_lines([row("a", 0.8)])}
    assert len(widths) == 1


@pytest.mark.parametrize("text", ["", ",", "a,b,a"])
def test_empty_and_repeated_plugin_names_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="each name once"):
        parse_plugins(text)


def test_all_means_every_installed_plugin() -> None:
    assert {"embracenet", "tfidf"} <= set(parse_plugins("all"))


def test_a_benchmark_continues_after_failures_and_keeps_finished_runs(
    command: Callable[..., int],
    installed: None,
    models: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A night of training must not be lost to the third plugin of ten."""
    both, text, bad = (
        models("both", ("image", "text")),
        models("worded", ("text",)),
        models("bad", ("text",), broken=True),
    )
    words = ["bench", "colours", "--plugins", f"{both},{bad},{text}", "--output", tmp_path / "out", "--seeds", 2]
    assert command(*words) == 1, "otherwise a job would publish half a table"
    out, err = capsys.readouterr()
    assert err.endswith("1 of 5 runs failed: bad-text.\n")
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {
        "bad-text",  # its trained model is kept
        "both-image-text",
        "both-image",
        "both-text",
        "worded-text",
    }
    assert "not done: bad-text: " in out.replace("\n", " ")
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert page.index("| both |") < page.index("`bad-text`")
    assert "no luck" in page
    scores = pq.read_table(tmp_path / "out" / "scores.parquet")
    assert set(scores["model"].to_pylist()) == {"both", "worded"}
    assert set(scores["seed"].to_pylist()) == {"0", "1", "mean"}
    assert command(*words) == 1
    assert capsys.readouterr().err.count("nothing is computed again") == 4
    assert (tmp_path / "out" / "README.md").read_text(encoding="utf-8") == page


def test_a_benchmark_continues_in_a_folder_with_temporaries_of_a_killed_process(
    command: Callable[..., int], installed: None, models: Callable[..., str], tmp_path: Path
) -> None:
    """The model of that folder was missing from the table for good."""
    folder = tmp_path / "out" / "worded-text"
    folder.mkdir(parents=True)
    (folder / ".plan.json.a1b2c3d4.partial").write_text("")
    words = ["bench", "colours", "--plugins", models("worded", ("text",)), "--output", tmp_path / "out"]
    assert command(*words) == 0
    assert "| worded |" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("wrong", ["locked", "damaged"])
def test_an_unusable_run_folder_does_not_stop_the_other_runs(
    wrong: str,
    command: Callable[..., int],
    installed: None,
    models: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error of the system in one folder must not cost the table of the others."""
    import mmeval.studies.bench.run as module

    real, real_content = module.run, RunFolder.content

    def run(request: Request, manager: Manager) -> RunFolder:
        if wrong == "locked" and request.plugin.endswith("first.py"):
            raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out" / "first-text" / "plan.json"))
        return real(request, manager)

    def content(folder: RunFolder, record: Record | None = None) -> Content:
        if wrong == "damaged" and folder.path.name.startswith("first") and record is None:
            raise RunFolderError("scores.parquet was changed.")
        return real_content(folder, record)

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(RunFolder, "content", content)
    plugins = f"{models('first', ('text',))},{models('second', ('text',))}"
    assert command("bench", "colours", "--plugins", plugins, "--output", tmp_path / "out") == 1
    out, err = capsys.readouterr()
    assert "not done: first-text: " in out
    assert ("permission denied" if wrong == "locked" else "was changed") in out
    assert err.endswith("1 of 2 runs failed: first-text.\n")
    assert "| second |" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_a_unimodal_baseline_is_not_shown_as_its_failed_model(
    command: Callable[..., int], installed: None, models: Callable[..., str], tmp_path: Path
) -> None:
    """The table showed the score of the baseline as that of the model."""
    path = Path(models("both", ("image", "text")))
    seen = "seen = np.array([len(t) for t in examples.texts])"
    path.write_text(
        path.read_text().replace(seen, f"assert not (any(examples.texts) and max(examples.image_rows) >= 0); {seen}")
    )
    plugins = f"{path},{models('worded', ('text',))}"
    assert command("bench", "colours", "--plugins", plugins, "--output", tmp_path / "out") == 1
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| worded |" in page
    assert "| both |" not in page
    assert "- `both-image-text`: " in page


def test_a_benchmark_in_which_all_runs_fail_names_the_reason(
    command: Callable[..., int],
    installed: None,
    models: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = models("bad", ("text",), broken=True)
    assert command("bench", "colours", "--plugins", bad, "--output", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert "All runs of the benchmark failed, the first one because: " in err
    assert "no luck" in err


def rows_of(page: Path) -> dict[str, list[str]]:
    """Return the cells of the table on the page of a benchmark, by model."""
    lines = [line.strip("|").split(" | ") for line in page.read_text(encoding="utf-8").splitlines()]
    return {cells[0].strip(): [cell.strip() for cell in cells] for cells in lines if len(cells) > 5}


GUESSING = MODEL.replace(
    "seen = np.array([len(t) for t in examples.texts]) + (examples.image_rows >= 0)",
    "seen = np.array([KNOWN if e % PERIOD else 3 for e in range(len(examples))]); true = examples",
).replace(
    "yield {t.name: np.eye(len(t.classes), dtype=np.float32)[seen % len(t.classes)] for t in self.tasks}",
    """for t in self.tasks:
            pass
        right = bool(examples.inputs.image) or not NEEDS_IMAGE
        yield {
            t.name: np.eye(len(t.classes), dtype=np.float32)[
                np.where((seen == 1) & right, np.maximum(examples.labels(t.name), 0), 0)
            ]
            for t in self.tasks
        }""",
)
"""A model that looks up the true class of most examples, if it sees images."""


@pytest.fixture
def oracles(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a model that knows the class of all but every n-th example."""

    def write(name: str, period: int = 1000, needs_image: bool = True) -> str:
        path = tmp_path / f"{name}.py"
        text = GUESSING.replace("NAME", name).replace("INPUTS", "('image', 'text')").replace("KNOWN", "1")
        path.write_text(text.replace("PERIOD", str(period)).replace("NEEDS_IMAGE", str(needs_image)), encoding="utf-8")
        return str(path)

    return write


def test_a_model_beats_its_baselines_only_if_the_test_says_so(
    command: Callable[..., int], installed: None, oracles: Callable[..., str], tmp_path: Path
) -> None:
    """A higher mean alone is no success: with one seed it may be chance."""
    plugins = f"{oracles('seeing')},{oracles('blind', needs_image=False)}"
    assert command("bench", "colours", "--plugins", plugins, "--output", tmp_path / "out", "--seeds", 2) == 0
    rows = rows_of(tmp_path / "out" / "README.md")
    assert rows["seeing"][9] == "can't tell: image"
    assert rows["blind"][9] == "can't tell: image, text"
    assert rows["seeing"][3] == rows["blind"][3] == "1–2"
    assert "Can't be told apart: " in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_baselines_get_as_many_seeds_as_models(
    command: Callable[..., int], installed: None, models: Callable[..., str], tmp_path: Path
) -> None:
    words = ["bench", "colours", "--plugins", models("both", ("image", "text")), "--output", tmp_path / "out"]
    assert command(*words, "--seeds", 3) == 0
    for name in ("both-image-text", "both-image", "both-text"):
        assert RunFolder(tmp_path / "out" / name).record.plan.protocol.seeds == (0, 1, 2)


def test_a_second_call_adds_models_to_the_table(
    command: Callable[..., int],
    installed: None,
    models: Callable[..., str],
    oracles: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["bench", "colours", "--output", tmp_path / "out", "--plugins"]
    assert command(*words, oracles("seeing")) == 0
    assert rows_of(tmp_path / "out" / "README.md")["seeing"][3] == "–"
    assert command(*words, models("worded", ("text",)), "--no-baselines") == 0
    rows = rows_of(tmp_path / "out" / "README.md")
    assert (rows["seeing"][3], rows["worded"][3]) == ("1", "2")
    assert rows["worded"][1] == "text"
    assert rows["seeing"][7] != "–", "its baselines stay in the table"
    scores = pq.read_table(tmp_path / "out" / "scores.parquet")
    assert set(scores["model"].to_pylist()) == {"seeing", "worded"}
    capsys.readouterr()
    assert command(*words, models("more", ("text",)), "--seeds", 2) == 0
    assert "seeing-image-text is left out: its seeds differs" in capsys.readouterr().err.replace("\n", " ")
    assert set(rows_of(tmp_path / "out" / "README.md")) >= {"more"}
    assert "seeing" not in rows_of(tmp_path / "out" / "README.md")


def test_a_changed_list_of_runs_is_refused(
    command: Callable[..., int],
    installed: None,
    models: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bench.json").write_text('{"runs": [{"plugin": "../x", "inputs": "text", "baseline": 1}]}')
    words = ["bench", "colours", "--plugins", models("worded", ("text",)), "--output", tmp_path / "out"]
    assert command(*words) == 2
    assert "bench.json can't be used" in capsys.readouterr().err
