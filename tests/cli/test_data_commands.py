"""The commands `mmeval data prepare`, `verify`, `stats`, `show` and `card`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.data.card import cards_folder, read_card
from mmeval.data.table.options import TableOptions
from mmeval.home import table_file
from tests.archives import fashion_products, food

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
MMEVAL = (sys.executable, "-c", "from mmeval.cli.main import main; main()")
SLOW = """
import os, time
from pathlib import Path
import mmeval
from tests.data.prepare.test_images import Given as Images


class Given(Images):
    def examples(self):
        yield mmeval.Example("1", "text", "de", "train", {"t": "a"})


def wait(number):
    if number == 2 and not Path(os.environ["GO"]).exists():
        Path(os.environ["GO"]).touch()
        time.sleep(2)


@mmeval.hookimpl
def register_datasets(register):
    register(mmeval.DatasetSpec(name="slow", summary="slow", card=None, source=lambda: Given(5, wait)))
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def output(command: Command, capsys: Capture) -> Callable[..., str]:
    """Return a function that runs a command, which must succeed, and returns its standard output."""

    def call(*words: object, status: int = 0) -> str:
        capsys.readouterr()
        assert command("data", *words) == status
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(command: Command, capsys: Capture) -> Callable[..., str]:
    """Return a function that runs a command, which must fail, and returns the error message."""

    def call(*words: object) -> str:
        capsys.readouterr()
        assert command("data", *words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        last = err.splitlines()[-1]
        assert last.startswith("error: ")
        return last.removeprefix("error: ")

    return call


Output = Callable[..., str]


def test_a_data_set_is_prepared_from_its_files_and_found_by_name(fresh: Path, output: Output) -> None:
    source = food.write(fresh / "food", train=60, test=30)
    assert output("prepare", "food101", "--source", source, "--allow-mismatch") == (
        "food101-mismatched is ready: 90 examples in 1 language, 88 images.\n"
        "Next: mmeval data stats food101, or mmeval run --dataset food101\n"
    )
    shutil.rmtree(source)
    assert output("stats", "food101").startswith("food101-mismatched: 90 examples, 88 images\n")
    assert output("prepare", "food101").startswith("food101-mismatched is ready: ")


def test_data_that_differs_from_its_card_is_refused(fresh: Path, refused: Output) -> None:
    source = food.write(fresh / "food", train=60, test=30)
    assert refused("prepare", "food101", "--source", source) == (
        "food101 differs from its data card (food101.md): examples in test: the card says 22716, the data has 30; "
        "examples in train+validation: the card says 67988, the data has 60; images: the card says 90704, the data "
        "has 88. --allow-mismatch accepts it, and marks every score of it."
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stats", "emoji41"], 'No data set is named "emoji41". Did you mean "emoji14"? `mmeval data` lists all.'),
        (["verify", "food101", "--source", "nowhere"], "--source nowhere: there is no such file or folder."),
        (
            ["stats", "emoji14", "--source", "x"],
            "--source x: emoji14 is generated from installed packages; leave --source out.",
        ),
        (
            ["show", "food101:big"],
            'food101 has no variant "big"; its variants are title, title-masked, mmbt, mmbt-title-masked.',
        ),
        (
            ["prepare", "emoji14", "--columns", "text=a"],
            "--columns text=a: only tables have this option; write --dataset table:PATH.",
        ),
        (
            ["prepare", "emoji14", "--save", "x.toml"],
            "--save x.toml: emoji14 has a name already; only a table can be saved.",
        ),
        (["prepare", "table:nowhere.csv"], None),
        (["card", "colours", "--generate", "--language", "de"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_prints_one_sentence(words: list[str], message: str | None, fresh: Path, refused: Output) -> None:
    result = refused(*words)
    assert message is None or result == message
    assert not (fresh / "home" / "stores").exists()


def test_without_files_the_message_says_where_to_get_them(fresh: Path, refused: Output) -> None:
    message = refused("stats", "fashion-product-images")
    assert message.startswith(
        "fashion-product-images is not prepared on this machine. Its two Parquet files (271 MB) are in"
    )
    assert "`mmeval data prepare fashion-product-images --source FOLDER`" in message


@pytest.fixture
def clothes(fresh: Path, output: Output) -> Path:
    """Fashion Product Images, prepared from a small archive with all known defects."""
    source = fashion_products.write(fresh / "clothes", rows=60)
    output("prepare", "fashion-product-images", "--source", source, "--allow-mismatch")
    return fresh


NAME = "fashion-product-images"


def test_verify_lists_matches_and_differences(clothes: Path, output: Output, capsys: Capture) -> None:
    """The exit status tells scripts the result."""
    lines = output("verify", NAME).splitlines()
    assert lines[0].startswith(f"{NAME}-mismatched in {clothes / 'home' / 'stores' / NAME}")
    assert lines[1] == "✓ intact: the content of 3 files is unchanged"
    assert (
        "! examples in train+validation+test: the card says 44072, the data has 68 (accepted with --allow-mismatch)"
        in lines
    )
    assert lines[-1].startswith("! 2 rows were rejected: ")
    (shard,) = (clothes / "home" / "stores" / NAME / "pictures").glob("*/images-00000.arrow")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    (_, line) = output("verify", NAME, status=1).splitlines()
    assert line.startswith(f"✗ damaged: {shard}; remove ")
    (result,) = json.loads(output("verify", NAME, "--json", status=1))
    assert (result["verdict"], result["text"]) == ("bad", line.removeprefix("✗ "))


def test_verify_fails_for_released_data_that_differs_from_its_card(
    installed: None, fresh: Path, output: Output
) -> None:
    """As when the card is corrected after the data was prepared."""
    assert "✓ agrees with its card (colours.md)" in output("verify", "colours")
    card = fresh / "colours.md"
    card.write_text(card.read_text().replace("images: 44", "images: 45"))
    assert "✗ images: the card says 45, the data has 44\n" in output("verify", "colours", status=1)


def test_stats_are_equal_to_counts_by_hand(installed: None, fresh: Path, output: Output) -> None:
    result = json.loads(output("stats", "colours", "--json"))
    assert (result["examples"], result["images"], result["splits"]) == (132, 44, ["train", "validation", "test"])
    assert [counts["language"] for counts in result["languages"]] == ["de", "en", "ja"]
    assert [(counts["without_image"], counts["without_text"]) for counts in result["languages"]] == [
        (0, 2),
        (2, 0),
        (0, 0),
    ]
    lines = output("stats", "colours").splitlines()
    rows = {cells[0]: cells[1:] for line in lines if (cells := line.split())}
    assert rows["de"][:5] == ["24", "6", "14", "0", "2"]
    assert rows["all"] == ["72", "18", "42", "2", "2", "3"]
    assert rows["colour"] == ["3", "red", "(45)", "blue", "(42)", "0", "0"]
    assert "slice number: even 66, odd 66" in lines


def test_stats_fit_a_terminal_of_eighty_columns(installed: None, fresh: Path) -> None:
    """Column names are not cut."""
    call = [*MMEVAL, "data", "stats", "colours"]
    ran = subprocess.run(call, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"}, check=True)
    lines = ran.stdout.splitlines()
    assert "language  train  validation  test  no image  no text  length  classes" in lines[1]
    assert not [line for line in lines if len(line) > 80]
    assert "…" not in ran.stdout


def test_stats_name_the_command_that_shows_rejected_rows(clothes: Path, output: Output) -> None:
    """With the name that the user typed, which may differ from the Store's name."""
    assert output("stats", NAME).endswith(f"2 rows were rejected: `mmeval data show {NAME} --rejected` lists them.\n")
    shown = output("show", NAME, "--rejected")
    assert "50009: the image has no bytes" in shown
    assert "has the id of train-00000-of-00002" in shown
    assert shown.splitlines()[-1].startswith("2 of 2 rejected rows; all are in ")
    rows = json.loads(output("show", NAME, "--rejected", "--json", "-n", "1"))
    assert [row["id"] for row in rows] == ["1163"]


def test_examples_are_shown_in_the_terminal_and_on_a_page(installed: None, fresh: Path, output: Output) -> None:
    shown = output("show", "colours", "-n", "3", "--split", "test", "--only", "ja", "--label", "green")
    header, *rows, last = shown.splitlines()
    assert header.split() == ["id", "lang", "split", "text", "labels", "other", "values"]
    assert len(rows) == 3
    assert all("緑の" in row and "green" in row and "number: " in row for row in rows)
    page = fresh / "home" / "pages" / "colours.html"
    assert last == f"Page with the images: {page}"
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 3
    output("show", "colours", "--page", fresh / "mine.html", "--seed", "1")
    assert (fresh / "mine.html").is_file()
    result = json.loads(output("show", "colours", "-n", "2", "--word", "red", "--json"))
    assert [(example["labels"]["colour"], set(example)) for example in result] == [
        ("red", {"id", "language", "split", "text", "labels", "others", "image"})
    ] * 2


def test_no_rejected_rows_are_reported(installed: None, fresh: Path, output: Output) -> None:
    assert output("show", "colours", "--rejected") == "No row was rejected.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "fr"], "--only fr: colours has de, en, ja."),
        (["--label", "mauve"], '--label: no task of colours has the class "mauve"; `mmeval data card` lists them.'),
        (["--split", "dev"], "--split dev: colours has train, validation, test."),
        (["--word", "xyz"], "No example of colours matches."),
    ],
)
def test_a_value_without_examples_is_refused(
    words: list[str], message: str, installed: None, fresh: Path, refused: Output
) -> None:
    assert refused("show", "colours", *words) == message


def test_a_card_is_the_published_or_a_generated_one(
    installed: None, fresh: Path, output: Output, capsys: Capture
) -> None:
    """The published card needs no prepared data."""
    assert output("card", "glami1m").rstrip("\n") == (cards_folder() / "glami1m.md").read_text("utf-8").rstrip("\n")
    assert not (fresh / "home").exists()
    path = fresh / "made" / "card.md"
    assert output("card", "colours", "--generate", "--output", path) == f"Wrote {path}\n"
    card = read_card(path)
    assert (card.name, card.images, card.licence) == ("colours", 44, "cc0-1.0")
    assert "squares" in card.body


def test_named_tables_are_listed_and_nothing_heavy_is_loaded(fresh: Path) -> None:
    from mmeval.data.table.options import write_options

    write_options(table_file("myshop"), TableOptions(source=str(fresh / "shop.csv"), name="myshop"))
    code = (
        "import sys\nfrom mmeval.cli.main import app\ntry:\n    app(['data', '--json'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'datasets', 'transformers', 'pandas', 'pyarrow', 'h5py', 'PIL') "
        "if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed = {entry["name"]: entry for entry in json.loads(ran.stdout)}
    assert {"emoji14", "glami1m", "food101", "fashiongen", "myshop"} <= set(listed)
    assert listed["myshop"]["summary"] == f"the table {fresh / 'shop.csv'}"
    assert ran.stderr == "[]\n"


def _accept_ctrl_c() -> None:
    """A shell starts background jobs, and so the tests in one, with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_keeps_the_prepared_images(
    install: Callable[[str, str, str], None], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command resumes."""
    install("datasets", "slow", SLOW)
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}{os.pathsep}{root}")
    monkeypatch.setenv("GO", str(fresh / "go"))
    call = [*MMEVAL, "data", "prepare", "slow"]
    with subprocess.Popen(
        call, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_accept_ctrl_c
    ) as process:
        until = time.monotonic() + 60
        while not (fresh / "go").exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "error: Stopped; the images prepared so far are kept. Repeat the command to resume.\n"
    again = subprocess.run(call, capture_output=True, text=True, check=True)
    assert again.stdout.startswith("slow is ready: 1 examples in 1 language, ")


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
def test_a_full_disk_is_reported_and_preparation_resumes_later(fresh: Path, command: Command, capsys: Capture) -> None:
    """On a small file system in memory that is really full."""
    disk = fresh / "home"
    disk.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if subprocess.run(call, capture_output=True, check=False).returncode:
        pytest.skip("this user may mount nothing")
    try:
        source = food.write(fresh / "food", train=240, test=60)
        words = ("data", "prepare", "food101", "--source", source, "--allow-mismatch")
        assert command(*words) == 1
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith("error: The disk is full (")
        assert message.endswith("). Free some space, then repeat the command; complete files are kept.")
        assert not list(disk.rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert command(*words) == 0
        assert "food101-mismatched is ready: 300 examples" in capsys.readouterr().out
    finally:
        subprocess.run(["umount", str(disk)], check=True)
