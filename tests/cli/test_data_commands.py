"""`mmeval data`: prepare, verify, stats, show and card, as they are typed."""

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
from tests.data.test_images import Given as Images


class Given(Images):
    def examples(self):
        yield mmeval.Example("1", "text", "de", "train", {"t": "a"})


def wait(number):
    if number == 2 and not Path(os.environ["GO"]).exists():
        Path(os.environ["GO"]).touch()
        time.sleep(1)


@mmeval.hookimpl
def register_datasets(register):
    register(mmeval.DatasetSpec("slow", "slow", None, lambda: Given(5, wait)))
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def output(command: Command, capsys: Capture) -> Callable[..., str]:
    """Calls the command line, which must go well; returns what is on standard output."""

    def call(*words: object, status: int = 0) -> str:
        capsys.readouterr()
        assert command("data", *words) == status
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(command: Command, capsys: Capture) -> Callable[..., str]:
    """Calls the command line, which must refuse; returns the one sentence, the last line."""

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


def test_what_is_allow_mismatch_is_refused_with_what_differs(fresh: Path, refused: Output) -> None:
    source = food.write(fresh / "food", train=60, test=30)
    assert refused("prepare", "food101", "--source", source) == (
        "food101 is not as its data card says (food101.md): examples in test: the card says 22716, the data has 30; "
        "examples in train+validation: the card says 67988, the data has 60; images: the card says 90704, the data "
        "has 88. --allow-mismatch takes it nevertheless, and says so wherever it is scored."
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stats", "emoji41"], 'No data set is named "emoji41". Did you mean "emoji14"? `mmeval data` lists all.'),
        (["verify", "food101", "--source", "nowhere"], "--source nowhere: there is no such file or folder."),
        (["stats", "emoji14", "--source", "x"], "--source x: emoji14 is made of packages; leave --source out."),
        (
            ["show", "food101:big"],
            'food101 has no variant "big"; its variants are title, title-masked, mmbt, mmbt-title-masked.',
        ),
        (
            ["prepare", "emoji14", "--columns", "text=a"],
            "--columns text=a: only a table has it; write --dataset table:PATH.",
        ),
        (
            ["prepare", "emoji14", "--save", "x.toml"],
            "--save x.toml: emoji14 has a name already; only a table can be saved.",
        ),
        (["prepare", "table:nowhere.csv"], None),
        (["card", "colours", "--of-the-data", "--language", "de"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(words: list[str], said: str | None, fresh: Path, refused: Output) -> None:
    found = refused(*words)
    assert said is None or found == said
    assert not (fresh / "home" / "stores").exists()


def test_files_that_nobody_named_come_with_where_to_get_them(fresh: Path, refused: Output) -> None:
    said = refused("stats", "fashion-product-images")
    assert said.startswith(
        "fashion-product-images is not prepared on this machine. Its two Parquet files (271 MB) are in"
    )
    assert "`mmeval data prepare fashion-product-images --source FOLDER`" in said


@pytest.fixture
def clothes(fresh: Path, output: Output) -> Path:
    """Fashion Product Images, prepared from a small archive with every trap."""
    source = fashion_products.write(fresh / "clothes", rows=60)
    output("prepare", "fashion-product-images", "--source", source, "--allow-mismatch")
    return fresh


NAME = "fashion-product-images"


def test_verify_says_what_is_good_and_what_is_not(clothes: Path, output: Output, capsys: Capture) -> None:
    """Its exit status is for scripts."""
    lines = output("verify", NAME).splitlines()
    assert lines[0].startswith(f"{NAME}-mismatched in {clothes / 'home' / 'stores' / NAME}")
    assert lines[1] == "✓ whole: 3 files are as they were written"
    assert (
        "! examples in train+validation+test: the card says 44072, the data has 68 (taken as not the release)" in lines
    )
    assert lines[-1].startswith("! 2 rows were rejected: ")
    (shard,) = (clothes / "home" / "stores" / NAME / "pictures").glob("*/images-00000.arrow")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    (_, line) = output("verify", NAME, status=1).splitlines()
    assert line.startswith(f"✗ damaged: {shard}; remove ")
    (found,) = json.loads(output("verify", NAME, "--json", status=1))
    assert (found["verdict"], found["text"]) == ("bad", line.removeprefix("✗ "))


def test_verify_of_released_data_that_is_not_as_its_card_says_fails(
    installed: None, fresh: Path, output: Output
) -> None:
    """The card was mended after the data was prepared: its scores are of other data than what the card describes."""
    assert "✓ as its card says (colours.md)" in output("verify", "colours")
    card = fresh / "colours.md"
    card.write_text(card.read_text().replace("images: 44", "images: 45"))
    assert "✗ images: the card says 45, the data has 44\n" in output("verify", "colours", status=1)


def test_stats_count_as_by_hand(installed: None, fresh: Path, output: Output) -> None:
    found = json.loads(output("stats", "colours", "--json"))
    assert (found["examples"], found["images"], found["splits"]) == (132, 44, ["train", "validation", "test"])
    assert [one["language"] for one in found["languages"]] == ["de", "en", "ja"]
    assert [(one["without_image"], one["without_text"]) for one in found["languages"]] == [(0, 2), (2, 0), (0, 0)]
    lines = output("stats", "colours").splitlines()
    rows = {cells[0]: cells[1:] for line in lines if (cells := line.split())}
    assert rows["de"][:5] == ["24", "6", "14", "0", "2"]
    assert rows["all"] == ["72", "18", "42", "2", "2", "3"]
    assert rows["colour"] == ["3", "red", "(45)", "blue", "(42)", "0", "0"]
    assert "slice number: even 66, odd 66" in lines


def test_stats_fit_a_terminal_of_eighty_columns(installed: None, fresh: Path) -> None:
    """No column name is cut."""
    call = [*MMEVAL, "data", "stats", "colours"]
    ran = subprocess.run(call, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"}, check=True)
    lines = ran.stdout.splitlines()
    assert "language  train  validation  test  no image  no text  length  classes" in lines[1]
    assert max(map(len, lines)) <= 80
    assert "…" not in ran.stdout


def test_stats_say_how_to_see_what_was_rejected(clothes: Path, output: Output) -> None:
    """With the name that can be typed, which the Store's name may not be."""
    assert output("stats", NAME).endswith(f"2 rows were rejected: `mmeval data show {NAME} --rejected`\n")
    shown = output("show", NAME, "--rejected")
    assert "50009: the image has no bytes" in shown
    assert "has the id of train-00000-of-00002" in shown
    assert shown.splitlines()[-1].startswith("2 of 2; all in ")
    rows = json.loads(output("show", NAME, "--rejected", "--json", "-n", "1"))
    assert [row["id"] for row in rows] == ["1163"]


def test_examples_are_shown_here_and_on_a_page(installed: None, fresh: Path, output: Output) -> None:
    shown = output("show", "colours", "-n", "3", "--split", "test", "--only", "ja", "--label", "green")
    header, *rows, last = shown.splitlines()
    assert header.split() == ["id", "lang", "split", "text", "labels", "what", "else", "is", "known"]
    assert len(rows) == 3
    assert all("緑の" in row and "green" in row and "number: " in row for row in rows)
    page = fresh / "home" / "pages" / "colours.html"
    assert last == f"With their images: {page}"
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 3
    output("show", "colours", "--page", fresh / "mine.html", "--seed", "1")
    assert (fresh / "mine.html").is_file()
    found = json.loads(output("show", "colours", "-n", "2", "--word", "red", "--json"))
    assert [(one["labels"]["colour"], set(one)) for one in found] == [
        ("red", {"id", "language", "split", "text", "labels", "others", "image"})
    ] * 2


def test_nothing_rejected_is_said(installed: None, fresh: Path, output: Output) -> None:
    assert output("show", "colours", "--rejected") == "No row was rejected.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "fr"], "--only fr: colours has de, en, ja."),
        (["--label", "mauve"], '--label: no task of colours has the class "mauve"; `mmeval data card` lists them.'),
        (["--split", "dev"], "--split dev: colours has train, validation, test."),
        (["--word", "xyz"], "No example of colours matches."),
    ],
)
def test_what_there_is_none_of_is_said(
    words: list[str], said: str, installed: None, fresh: Path, refused: Output
) -> None:
    assert refused("show", "colours", *words) == said


def test_a_card_is_shown_as_it_is_shipped_or_made_of_the_data(
    installed: None, fresh: Path, output: Output, capsys: Capture
) -> None:
    """The shipped one needs no data."""
    assert output("card", "glami1m").rstrip("\n") == (cards_folder() / "glami1m.md").read_text("utf-8").rstrip("\n")
    assert not (fresh / "home").exists()
    path = fresh / "made" / "card.md"
    assert output("card", "colours", "--of-the-data", "--output", path) == f"Wrote {path}\n"
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
    listed = {one["name"]: one for one in json.loads(ran.stdout)}
    assert {"emoji14", "glami1m", "food101", "fashiongen", "myshop"} <= set(listed)
    assert listed["myshop"]["summary"] == f"the table {fresh / 'shop.csv'}"
    assert ran.stderr == "[]\n"


def test_ctrl_c_says_that_what_is_prepared_is_kept(
    install: Callable[[str, str, str], None], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same command goes on."""
    install("datasets", "slow", SLOW)
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}{os.pathsep}{root}")
    monkeypatch.setenv("GO", str(fresh / "go"))
    call = [*MMEVAL, "data", "prepare", "slow"]
    with subprocess.Popen(call, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not (fresh / "go").exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "error: Stopped. What is prepared is kept; repeat the command to go on.\n"
    again = subprocess.run(call, capture_output=True, text=True, check=True)
    assert again.stdout.startswith("slow is ready: 1 examples in 1 language, ")


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
def test_a_full_disk_is_said_and_with_room_it_goes_on(fresh: Path, command: Command, capsys: Capture) -> None:
    """On a real disk that is full, a small one in memory."""
    disk = fresh / "home"
    disk.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if subprocess.run(call, capture_output=True, check=False).returncode:
        pytest.skip("this user may mount nothing")
    try:
        source = food.write(fresh / "food", train=240, test=60)
        words = ("data", "prepare", "food101", "--source", source, "--allow-mismatch")
        assert command(*words) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("error: The disk is full (")
        assert said.endswith("). Free some space, then repeat the command; complete files are kept.")
        assert not list(disk.rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert command(*words) == 0
        assert "food101-mismatched is ready: 300 examples" in capsys.readouterr().out
    finally:
        subprocess.run(["umount", str(disk)], check=True)
