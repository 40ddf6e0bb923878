"""``mmeval score FILE``: the command, and one sentence for every file that can't be used, with nothing written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmeval.runs.folder import RunFolder

Command = Callable[..., int]
Refused = Callable[..., str]
Capture = pytest.CaptureFixture[str]
LABELS = "id,language,true,predicted\na,de,cat,cat\nb,de,dog,cat\nc,fr,dog,dog\nd,fr,cat,dog\n"
PROBABILITIES = "id,language,true,p:cat,p:dog\na,de,cat,0.9,0.1\nb,de,dog,0.6,0.4\nc,fr,dog,0.2,0.8\n"


@pytest.fixture
def refused(command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Return a function that scores a file with some content, which must fail, and returns the error message."""
    monkeypatch.chdir(tmp_path)

    def call(content: str | bytes, *words: object, name: str = "p.csv") -> str:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        before = sorted(tmp_path.rglob("*"))
        assert command("score", name, "--output", "run", *words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert sorted(tmp_path.rglob("*")) == before, "nothing is written"
        *notes, error = err.splitlines()
        assert all(note.startswith(f"{name}: ") for note in notes), err
        assert error.startswith("error: ")
        return error.removeprefix("error: ")

    return call


@pytest.fixture
def scored(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunFolder]:
    """Return a function that scores a file with some content into the folder ``run``."""
    monkeypatch.chdir(tmp_path)

    def call(content: str, *words: object, name: str = "p.csv") -> RunFolder:
        Path(name).write_text(content, encoding="utf-8")
        assert command("score", name, "--output", "run", *words) == 0
        return RunFolder("run")

    return call


def top1(run: RunFolder) -> dict[str, float]:
    rows = [row for row in run.scores.to_pylist() if row["metric"] == "top1" and row["slice"] == "all"]
    return {row["language"]: row["value"] for row in rows}


def test_a_file_becomes_a_run_folder_with_scores_and_report(
    scored: Callable[..., RunFolder], command: Command, capsys: Capture
) -> None:
    run = scored(PROBABILITIES, "--name", "Qwen/Qwen3-VL-8B", "--dataset", "animals")
    out = capsys.readouterr().out
    assert "Qwen/Qwen3-VL-8B on animals: label, test split, unknown" in out
    assert out.endswith("Run folder: run\nReport:     run/report.html\n")
    values = top1(run)
    assert values["de"] == 0.5
    assert values["fr"] == 1
    assert values["all"] == pytest.approx(2 / 3)
    assert {path.name for path in run.path.iterdir()} == {
        "README.md",
        "gallery.parquet",
        "plan.json",
        "predictions",
        "report.html",
        "run.json",
        "scores.parquet",
    }
    before = str(run.scores.to_pylist())
    assert command("score", "run") == 0
    assert command("report", "run") == 0
    assert str(run.scores.to_pylist()) == before


def test_the_record_names_the_file_its_digest_and_the_command(scored: Callable[..., RunFolder]) -> None:
    run = scored(LABELS, "--name", "llm", "--inputs", "text")
    record = json.loads(run.record_file.read_text(encoding="utf-8"))
    assert record["source"]["file"] == "p.csv"
    assert record["source"]["sha256"] == hashlib.sha256(LABELS.encode()).hexdigest()
    assert record["source"]["rows"] == 4
    assert record["command"] == "mmeval score p.csv --name llm --inputs text"
    assert record["plan"]["plugin"] == {"name": "llm", "version": "external", "paper": "", "licence": ""}
    assert record["plan"]["protocol"]["track"] == "external"
    assert record["plan"]["protocol"]["dataset"] == "p"
    assert "p.csv (SHA-256 " in run.readme_file.read_text(encoding="utf-8")


def test_labels_alone_have_no_metrics_of_probabilities_and_the_report_says_so(scored: Callable[..., RunFolder]) -> None:
    run = scored(LABELS)
    metrics = set(run.scores["metric"].to_pylist())
    assert {"top1", "macro_f1", "weighted_f1"} <= metrics
    assert not metrics & {"log_loss", "brier", "top2", "top3", "top5"}
    for page in (run.readme_file, run.report_path):
        assert "label has predicted classes only" in page.read_text(encoding="utf-8")
    assert run.predictions().column_names == ["id", "language", "cluster", "label", "label:predicted"]


def test_columns_are_mapped(scored: Callable[..., RunFolder]) -> None:
    content = "key;lang;gold;prob_cat;prob_dog;shop\na;de;cat;0.9;0.1;x\nb;cz;dog;0.6;0.4;y\n"
    columns = "id=key,language=lang,true=gold,p:*=prob_*,slice:shop=shop,cluster=shop"
    run = scored(content, "--columns", columns)
    table = run.predictions()
    assert table["language"].to_pylist() == ["de", "cs"], "languages get the codes that tables of examples have"
    assert table["cluster"].to_pylist() == ["x", "y"]
    assert table["slice:shop"].to_pylist() == ["x", "y"]
    assert top1(run)["all"] == 0.5


def test_a_repeated_command_computes_nothing_and_another_file_is_refused(
    scored: Callable[..., RunFolder], command: Command, capsys: Capture, tmp_path: Path
) -> None:
    run = scored(LABELS, "--name", "llm", "--dataset", "d")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    capsys.readouterr()
    scored(LABELS, "--name", "llm", "--dataset", "d")
    assert "nothing is computed again" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    Path("other.csv").write_text(LABELS.replace("b,de,dog,cat", "b,de,dog,dog"), encoding="utf-8")
    assert command("score", "other.csv", "--output", "run", "--name", "llm", "--dataset", "d") == 2
    assert capsys.readouterr().err.endswith(
        "error: --output run holds another run (finished): its predictions are those of another file; "
        "name another folder.\n"
    )


def test_changed_files_are_recreated_by_the_same_command(scored: Callable[..., RunFolder]) -> None:
    run = scored(LABELS)
    pq.write_table(run.scores.slice(0, 1), run.scores_file)
    scored(LABELS)
    assert run.scores.num_rows > 1


def test_options_of_a_file_are_refused_for_a_run(
    scored: Callable[..., RunFolder], command: Command, capsys: Capture
) -> None:
    scored(LABELS)
    capsys.readouterr()
    assert command("score", "run", "--name", "x") == 2
    assert capsys.readouterr().err == ("error: --name: run is a folder; these options are for a file of predictions.\n")


HEADER = "id,language,true,predicted\n"
PHEADER = "id,language,true,p:cat,p:dog\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "p.csv is empty: it lacks its header line."),
        (HEADER, "p.csv holds no rows."),
        (
            "id,lang,true,predicted\na,de,x,y\n",
            'p.csv has no column "language"; is it "lang"? Then add --columns language=lang. '
            "Its columns are id, lang, true, predicted.",
        ),
        (
            "id,true,predicted\na,x,y\n",
            'p.csv has no column "language"; name it: --columns language=COLUMN, or give the language of all rows: '
            "--language CODE. Its columns are id, true, predicted.",
        ),
        (
            "id,language,true,pred\na,de,x,y\n",
            "p.csv has no predictions: it needs the column predicted, a column p:CLASS per class, or the column "
            'probabilities with lists. Is it "pred"? Then add --columns predicted=pred. '
            "Its columns are id, language, true, pred.",
        ),
        (
            "id,language,true,predicted,true\na,de,x,y,x\n",
            "p.csv has the column true twice.",
        ),
        (
            HEADER + "a,de,x,y\na,de,y,y\n",
            'p.csv, row 2: the id "a" occurs again (first in row 1); ids must differ; if the rows are of several '
            "tasks or "
            "training seeds, add the column task or seed, and if languages share ids, write LANGUAGE/ID as the id "
            "and the "
            "shared id as cluster.",
        ),
        (HEADER + "a,de,x,y\n,de,y,y\n", "p.csv, row 2: the column id is empty; every row needs a value."),
        (HEADER + "a,de,x,y\nb,,y,y\n", "p.csv, row 2: the column language is empty; every row needs a value."),
        (
            HEADER + "a,de,x,y\nb,de,y,\n",
            "p.csv, row 2: the column predicted is empty (1 such row); every row needs a prediction: write a word "
            "such as "
            "none where the tool gave no answer.",
        ),
        (
            HEADER + "a,de,x,y\nb,all,y,y\n",
            'p.csv, row 2: the language "all" is a reserved word of the score table; write a code for local use '
            "instead, "
            "such as qaa.",
        ),
        (
            HEADER + "a,Gap,x,y\n",
            'p.csv, row 1: the language "Gap" is a reserved word of the score table; write a code for local use '
            "instead, "
            "such as qaa.",
        ),
        (
            HEADER + "a,de,x,y\nb,weighted,y,y\n",
            'p.csv, row 2: the language "weighted" is a reserved word of the score table; write a code for local use '
            "instead, such as qaa.",
        ),
        (HEADER + "a,de,x,x\nb,fr,x,x\n", 'p.csv: label has only the class "x"; a task needs two.'),
        (HEADER + "a,de,,x\nb,fr,,y\n", "p.csv: no row of label has a true class, so there is nothing to score."),
        (
            HEADER + "a,de,x,y\nb,de,x\n",
            "p.csv, row 2: 3 cells where the header has 4 columns; correct that row, no row of predictions may be left "
            "out.",
        ),
        (
            PHEADER + "a,de,cat,0.5,0.5\nb,de,dog,0.5,0.4\n",
            "p.csv, row 2: the probabilities of label sum to 0.9, not to 1; correct them (mmeval doesn't normalize, "
            "since "
            "a missing class would go unnoticed).",
        ),
        (
            PHEADER + "a,de,cat,1.5,-0.5\nb,de,dog,0.5,0.5\n",
            'p.csv, row 1: the probability of "dog" of label is negative (-0.5); write probabilities, not scores or '
            "logarithms.",
        ),
        (
            PHEADER + "a,de,cat,0.5,0.5\nb,de,dog,nan,0.5\n",
            'p.csv, row 2: there is no number for the class "cat" of label; every class needs a probability.',
        ),
        (
            PHEADER + "a,de,cat,,0.5\n",
            'p.csv, row 1: there is no number for the class "cat" of label; every class needs a probability.',
        ),
        (
            PHEADER + "a,de,cat,inf,0.5\n",
            'p.csv, row 1: there is an infinite number for the class "cat" of label; every class needs a probability.',
        ),
        (
            PHEADER + 'a,de,cat,"0,5",0.5\n',
            'p.csv, row 1: p:cat is "0,5", not a number; write a decimal point.',
        ),
        (
            PHEADER + "a,de,Cat,0.5,0.5\n",
            'p.csv, row 1: the true class "Cat" of label has no column p:Cat (did you mean "cat"?); add it, with 0 '
            "in every "
            "row if the tool never predicts it.",
        ),
        (
            "id,language,true,probabilities,p:cat\na,de,x,y,1\n",
            "p.csv has both a list of probabilities (probabilities) and a column per class (p:cat, ...); leave one "
            "out.",
        ),
        (
            "id,language,true,probabilities\na,de,cat,half\n",
            "p.csv, row 1: probabilities is no list such as [0.2, 0.8]; write it so, or write one column p:CLASS per "
            "class.",
        ),
        (
            'id,language,true,probabilities\na,de,cat,"[0.2, 0.3, 0.5]"\nb,de,dog,"[0.2, 0.3, 0.5]"\n',
            "p.csv: the lists of label have 3 probabilities, but there are 2 true classes, so their order is not "
            "known; "
            "give it with --classes A,B,C, or a file with a class per line.",
        ),
        (
            'id,language,true,probabilities\na,de,cat,"[0.5, 0.5]"\nb,de,dog,"[0.2, 0.3, 0.5]"\n',
            "p.csv, row 2: there are 3 probabilities of label, but 2 in other rows.",
        ),
        (
            "id,language,true,predicted,seed\na,de,x,y,0\na,de,x,y,one\n",
            'p.csv, row 2: the seed "one" is not a whole number from 0 to 4294967295.',
        ),
        (
            "id,language,true,predicted,seed\na,de,x,y,0\nb,de,y,y,0\na,de,x,y,1\nc,de,y,y,1\n",
            'p.csv, row 4: the id "c" of seed 1 is not among the examples of seed 0 (1 such row); all must have the '
            "same "
            "examples.",
        ),
        (
            "id,language,true,predicted,seed\na,de,x,y,0\nb,de,y,y,0\na,de,x,y,1\n",
            'p.csv: there is no row of seed 1 with the id "b", an example of seed 0 (1 such row); all must have the '
            "same "
            "examples.",
        ),
        (
            "id,language,true,predicted,seed\na,de,x,y,0\nb,de,y,y,0\na,de,x,y,1\nb,de,x,y,1\n",
            'p.csv, row 4: the true class of the id "b" is "x", but "y" in row 2 of seed 0 (1 such row); both must '
            "be of the "
            "same examples.",
        ),
        (
            "id,language,true,predicted,seed\na,de,x,y,0\nb,de,y,y,0\nb,fr,y,y,1\na,de,x,y,1\n",
            'p.csv, row 3: the language of the id "b" is "fr", but "de" in row 2, which is of seed 0, task label (1 '
            "such row); both must be of the same examples.",
        ),
        (
            "id,language,true,predicted,seed,cluster\na,de,x,y,0,k\nb,de,y,y,0,k\nb,de,y,y,1,k\na,de,x,y,1,m\n",
            'p.csv, row 4: the cluster of the id "a" is "m", but "k" in row 1, which is of seed 0, task label (1 '
            "such row); "
            "both must be of the same examples.",
        ),
        (
            "id,language,true,predicted,seed,slice:s\na,de,x,y,0,k\na,de,x,y,1,m\n",
            'p.csv, row 2: slice:s of the id "a" is "m", but "k" in row 1, which is of seed 0, task label (1 '
            "such row); both "
            "must be of the same examples.",
        ),
        (
            "id,language,true,predicted,task\na,de,x,y,shade\nb,de,y,y,shade\na,de,x,y,tone\n",
            'p.csv: there is no row of task tone with the id "b", an example of task shade (1 such row); all must have '
            "the same examples.",
        ),
        (
            "id,language,true,predicted,task\na,de,x,y,id\n",
            'p.csv: a task can\'t be called "id"; choose a name without a colon, not id, language or cluster.',
        ),
        (
            HEADER + "a,de,1.0,1\nb,de,0.0,0\n",
            'p.csv: the classes "0" and "0.0" of label are the same number; write both without ".0".',
        ),
    ],
)
def test_an_unusable_file_is_refused_in_one_sentence(content: str, expected: str, refused: Refused) -> None:
    assert refused(content) == expected


def test_bytes_of_another_encoding_are_named(refused: Refused) -> None:
    assert refused((HEADER + "a,de,žena,žena\n").encode("cp1250")) == (
        "p.csv is not UTF-8 (byte 0x9e in line 2); give its encoding, such as --encoding cp1250 (Central European) or "
        "cp1252 (Western)."
    )


def test_an_encoding_can_be_given(scored: Callable[..., RunFolder], command: Command, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes((HEADER + "a,de,žena,žena\nb,de,muž,žena\n").encode("cp1250"))
    assert command("score", tmp_path / "c.csv", "--output", tmp_path / "run", "--encoding", "cp1250") == 0
    assert RunFolder(tmp_path / "run").predictions()["label"].to_pylist() == ["žena", "muž"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "p.jsonl holds no rows."),
        (
            '{"id": 1, "language": "de", "true": "a", "predicted": "b"}\n{"id": 2,\n',
            "p.jsonl, row 2: not JSON (Expecting property name enclosed in double quotes: line 2 column 1 (char 10)); "
            "correct that row, no row of predictions may be left out.",
        ),
        (
            '{"id": 1, "language": "de", "true": "a", "predicted": ["a", "b"]}\n',
            "p.jsonl, row 1: predicted holds 2 values, not one.",
        ),
        (
            '{"id": 1, "language": "de", "true": "a", "predicted": {"a": 1}}\n',
            "p.jsonl, row 1: predicted holds an object, not a text.",
        ),
        (
            '{"id": 1, "language": "de", "true": "a", "probabilities": {"a": 1}}\n',
            "p.jsonl, row 1: probabilities is no list of numbers; write one number between 0 and 1 per class.",
        ),
    ],
)
def test_unusable_json_lines_are_refused(lines: str, expected: str, refused: Refused) -> None:
    assert refused(lines, name="p.jsonl") == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--columns", "true=golden"],
            '--columns true=golden: p.csv has no column "golden". Its columns are id, language, true, predicted.',
        ),
        (
            ["--columns", "true=prdicted"],
            '--columns true=prdicted: p.csv has no column "prdicted" (did you mean "predicted"?). '
            "Its columns are id, language, true, predicted.",
        ),
        (
            ["--columns", "ture=id"],
            '--columns: there is no role "ture" (did you mean "true"?); the roles are id, language, true, predicted, '
            "probabilities, cluster, task, seed, p:CLASS, slice:NAME.",
        ),
        (
            ["--columns", "true"],
            '--columns: "true" should be ROLE=COLUMN, with a ROLE of id, language, true, predicted, probabilities, '
            "cluster, "
            "task, seed, p:CLASS, slice:NAME.",
        ),
        (["--columns", "true=id,true=id"], "--columns names true twice; a role has one column."),
        (["--classes", "cat,cat"], '--classes: the class "cat" occurs twice.'),
        (
            ["--classes", "cat,eel"],
            'p.csv, row 3: the predicted class "dog" of label is not in the list of classes.',
        ),
        (["--classes", "nowhere.txt"], "--classes nowhere.txt: there is no such file."),
        (["--inputs", "sound"], "--inputs sound: write image+text, image or text."),
        (["--inputs", "unknown"], "--inputs unknown: write image+text, image or text."),
        (["--name", "a|b"], "--name 'a|b': write a name of one line without the sign |."),
        (
            ["--validation", "p.csv"],
            "--validation p.csv holds the scored predictions themselves; thresholds must be chosen on other examples.",
        ),
        (["--validation", "no.csv"], "There is no file no.csv."),
        (
            ["--encoding", "klingon"],
            "--encoding klingon: there is no such encoding; examples are cp1250, cp1252 and utf-16.",
        ),
        (["--like", "nowhere"], "nowhere: there is no such folder; `mmeval run` creates a run folder."),
        (["--plugin", "x.py"], "--plugin x.py: p.csv is a file of predictions; add a metric with --metric x.py."),
    ],
)
def test_a_mistyped_option_is_refused(words: list[str], expected: str, refused: Refused) -> None:
    assert refused(LABELS, *words) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.csv", "There is no file none.csv."),
        ("none.parquet", "There is no file none.parquet."),
    ],
)
def test_a_missing_file_is_named(
    name: str, expected: str, command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("score", name, "--output", "run") == 2
    assert capsys.readouterr().err == f"error: {expected}\n"


def test_other_files_are_refused(refused: Refused) -> None:
    assert (
        refused("x", name="p.txt") == "p.txt is not a table; tables end in .csv, .tsv, .jsonl (also .gz) or .parquet."
    )
    assert refused(b"PK", name="p.xlsx") == 'p.xlsx is a workbook; save its sheet as "CSV UTF-8" and name that file.'
    assert refused(b"PAR1", name="p.parquet").startswith("p.parquet can't be read (")


def test_a_folder_that_is_no_run_is_kept(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    assert refused(LABELS) == "--output run exists and is not a run folder; name another folder."


def test_columns_without_a_role_are_noted(scored: Callable[..., RunFolder], capsys: Capture) -> None:
    scored("id,language,true,predicted,clusters,text\na,de,x,x,1,hi\nb,de,y,x,1,ho\n")
    assert (
        "p.csv: columns without a role, not used: clusters (did you mean cluster?), text\n" in capsys.readouterr().err
    )
