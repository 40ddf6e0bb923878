"""art4apps: both packages in each layout, words and splits, and files that are damaged or hostile."""

from __future__ import annotations

import contextlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval import DatasetSpec, Example, Rejected
from mmeval.data.card import cards_folder, read_card
from mmeval.data.languages import language_of as language_of_text
from mmeval.data.open.archive import open_archive
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import DatasetRequest
from mmeval.errors import DataError
from mmeval_art4apps import deb, rcc, register_datasets
from mmeval_art4apps.names import GET, GLAMI12, GLAMI12_LOCALES, LOCALES, VARIANTS, language_of
from mmeval_art4apps.source import Art4AppsSource
from mmeval_art4apps.words import json_words, python_lists
from tests.archives import art4apps as archive

ROWS = dict.fromkeys((*archive.BOTH, "lkt"), 48) | {"bg": 47, "et": 45}
ROWS |= dict.fromkeys(("ca@valencia", "en", "pt", "pt_BR"), 46)
"""Examples by language variant in the generated packages."""
ANY = re.compile(".*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages; tests that change a file copy it first."""
    return archive.write(tmp_path_factory.mktemp("art4apps"))


@pytest.fixture(scope="module")
def examples(folder: Path) -> dict[str, Example]:
    return by_id(folder)


@pytest.fixture
def spec() -> DatasetSpec:
    specs: list[DatasetSpec] = []
    register_datasets(specs.append)
    return specs[0]


def by_id(path: Path, variant: str = "") -> dict[str, Example]:
    rows = Art4AppsSource(path, variant).examples()
    return {example.id: example for example in rows if isinstance(example, Example)}


def complaint(path: Path) -> str:
    """Return the message about a folder, which must be one line."""
    with pytest.raises(DataError) as caught:
        list(Art4AppsSource(path).examples())
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def changed(path: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """Unpack both packages and change one file; returns the folder."""
    archive.write(path, "unpacked")
    (path / name).write_bytes(change((path / name).read_bytes()))
    return path


# Layouts


@pytest.mark.parametrize(
    ("form", "compression"),
    [("deb", "xz"), ("deb", "gz"), ("deb", "zst"), ("deb", ""), ("unpacked", ""), ("folders", "")],
)
def test_every_layout_and_compression_gives_the_same_data(
    tmp_path: Path, examples: dict[str, Example], form: str, compression: str
) -> None:
    source = Art4AppsSource(archive.write(tmp_path, form, compression=compression))
    assert [example for example in source.examples() if isinstance(example, Example)] == list(examples.values())
    assert dict(source.images()) == {d.id: d.image for d in source.drawings}
    assert source.size == 48


def test_one_package_may_be_unpacked_and_the_other_not(tmp_path: Path, examples: dict[str, Example]) -> None:
    archive.write_deb(tmp_path / archive.PYSIOGAME, archive.pysiogame_files())
    archive.unpack(tmp_path / "gcompris", archive.gcompris_files())
    assert by_id(tmp_path) == examples


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_of_resource_files_is_read(tmp_path: Path, examples: dict[str, Example], version: int) -> None:
    archive.unpack(tmp_path, archive.pysiogame_files())
    archive.unpack(tmp_path, archive.gcompris_files(version))
    assert by_id(tmp_path) == examples


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb, the reference reader of .deb files")
@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_dpkg_unpacks_the_generated_package_to_what_is_read(tmp_path: Path, compression: str) -> None:
    path = archive.write_deb(tmp_path / archive.PYSIOGAME, archive.pysiogame_files(), compression)
    subprocess.run(["dpkg-deb", "-x", path, tmp_path / "out"], check=True)
    files = deb.read_deb(path, re.compile("usr/.+"))
    unpacked = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert files == {name: file.read_bytes() for name, file in unpacked.items()} == archive.pysiogame_files()


def test_a_folder_with_one_package_says_which_is_missing_and_how_to_get_it(tmp_path: Path, folder: Path) -> None:
    lacks = "(its .deb file, or the folder usr that it unpacks to)"
    assert complaint(tmp_path) == f"{tmp_path} lacks pysiogame {lacks} and gcompris-qt-data {lacks}. {GET}"
    shutil.copy(folder / archive.PYSIOGAME, tmp_path)
    assert complaint(tmp_path) == f"{tmp_path} lacks gcompris-qt-data {lacks}. {GET}"
    (tmp_path / archive.PYSIOGAME).unlink()
    shutil.copy(folder / archive.GCOMPRIS, tmp_path)
    assert complaint(tmp_path) == f"{tmp_path} lacks pysiogame {lacks}. {GET}"
    assert "apt-get download pysiogame gcompris-qt-data" in GET


def test_a_file_and_a_missing_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / archive.PYSIOGAME
    assert complaint(path) == f"{path} is a file; give the folder that holds both packages. {GET}"
    assert complaint(tmp_path / "x") == f"There is no folder {tmp_path / 'x'}. {GET}"


def test_two_versions_of_a_package_are_refused(folder: Path, tmp_path: Path) -> None:
    """Either could be meant."""
    for name in (archive.PYSIOGAME, archive.GCOMPRIS):
        shutil.copy(folder / name, tmp_path / name)
    shutil.copy(folder / archive.PYSIOGAME, tmp_path / "pysiogame_5.deb")
    assert complaint(tmp_path) == (
        f"{tmp_path} holds pysiogame 2 times ({archive.PYSIOGAME} and pysiogame_5.deb); leave only one of them there."
    )


def test_changed_files_change_the_identity(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "deb")
    archive.write(tmp_path / "unpacked", "unpacked")
    changes = {"deb": archive.GCOMPRIS, "unpacked": f"{archive.LISTS}/de.py"}
    for name, file in changes.items():
        before = Art4AppsSource(tmp_path / name).identity
        assert Art4AppsSource(tmp_path / name, GLAMI12).identity == before
        with (tmp_path / name / file).open("ab") as stream:
            stream.write(b"\n")
        assert Art4AppsSource(tmp_path / name).identity != before


# Words, languages and splits


def test_one_example_per_drawing_and_language_variant(examples: dict[str, Example]) -> None:
    assert Counter(example.metadata["locale"] for example in examples.values()) == ROWS
    assert {locale for locale in ROWS if locale not in LOCALES} == set()
    labels = {example.id.partition("/")[0]: example.labels["category"] for example in examples.values()}
    assert labels == {archive.file_name(name): category for category, name in archive.drawings()}


def test_words_of_pysiogame_come_first_and_gcompris_fills_the_gaps(examples: dict[str, Example]) -> None:
    assert examples["beast2/de"].text == "beast2 in de ñ"
    assert examples["beast3/de"].text == "the beast3 in de ñ"  # untranslated in pySioGame
    assert examples["beast2/et"].text == "the beast2 in et ñ"


def test_untranslated_entries_are_no_examples(examples: dict[str, Example]) -> None:
    assert {f"{archive.UNTRANSLATED}/bg", f"{archive.UNTRANSLATED}/et"} & set(examples) == set()
    assert not [example for example in examples.values() if "<" in example.text or not example.text]


def test_spaces_and_hyphens_in_ids_are_underscores(examples: dict[str, Example]) -> None:
    """`beast 4`, `beast_4.jpg` and `beast-4.ogg` are one drawing."""
    assert examples["beast_4/lkt"].text == "beast 4 in lkt ñ"
    assert examples["beast_4/en"].text == "the beast 4 in en ñ"
    assert not [key for key in examples if " " in key or "-" in key]


def test_white_space_around_a_word_is_removed(examples: dict[str, Example]) -> None:
    assert examples["beast2/bg"].text == "beast2 in bg ñ"


def test_the_language_is_a_code_without_country_and_the_locale_a_slice(examples: dict[str, Example]) -> None:
    assert {language_of(locale) for locale in LOCALES} == {language_of_text(language_of(x)).code for x in LOCALES}
    assert (len(LOCALES), len({language_of(locale) for locale in LOCALES})) == (44, 40)
    seen = {(e.language, e.slices["locale"], e.metadata["locale"]) for e in examples.values()}
    assert {item for item in seen if item[0] in ("pt", "ca", "en", "lkt")} == {
        ("ca", "ca@valencia", "ca@valencia"),
        ("en", "en", "en"),
        ("en", "en_GB", "en_GB"),
        ("lkt", "single", "lkt"),
        ("pt", "pt", "pt"),
        ("pt", "pt_BR", "pt_BR"),
    }


def test_glami12_has_the_same_rows_of_fewer_languages(folder: Path, examples: dict[str, Example]) -> None:
    rows = by_id(folder, GLAMI12)
    assert Counter(example.language for example in rows.values()) == {"bg": 47, "el": 48, "et": 45}
    for key, example in rows.items():
        whole = examples[key]
        assert (example.text, example.split, example.cluster) == (whole.text, whole.split, whole.cluster)
        assert example.slices == {"in_every_variant": whole.slices["in_every_variant"]}
    card = read_card(cards_folder() / "glami1m.md")
    assert set(GLAMI12_LOCALES) == set(card.languages) - {"lv"}


def test_drawings_with_a_word_in_every_variant_are_a_slice(examples: dict[str, Example]) -> None:
    missing = {archive.file_name(name) for name in (*archive.ONLY_IN_LISTS, archive.UNTRANSLATED)}
    no = {example.image for example in examples.values() if example.slices["in_every_variant"] == "no"}
    assert no == missing


def test_all_rows_of_a_drawing_and_of_its_twin_are_in_one_split(examples: dict[str, Example]) -> None:
    """The twins have the same bytes, but other classes."""
    splits = {(example.cluster, example.split) for example in examples.values()}
    assert len(splits) == len({cluster for cluster, _ in splits}) == 47
    first, second = (examples[f"{twin}/de"] for twin in archive.TWINS)
    assert (first.cluster, first.split) == (second.cluster, second.split)
    assert first.labels != second.labels


def test_split_shares_hold_in_every_class(examples: dict[str, Example]) -> None:
    for category in archive.IDS:
        rows = [e.split for e in examples.values() if e.metadata["locale"] == "de" and category in e.labels.values()]
        shares = {split: rows.count(split) / len(rows) for split in ("train", "validation", "test")}
        assert shares == pytest.approx({"train": 0.6, "validation": 0.1, "test": 0.3}, abs=1.5 / len(rows))


SPLITS = "tr tr tr te tr tr tr va te tr te te va te tr tr"


def test_the_split_of_a_drawing_never_changes(examples: dict[str, Example]) -> None:
    """Another rule would silently change the data set."""
    keys = [f"{archive.file_name(name)}/de" for name in archive.IDS["animals"]]
    assert " ".join(examples[key].split[:2] for key in keys) == SPLITS


def test_a_drawing_without_an_id_is_rejected(folder: Path) -> None:
    rejected = [row for row in Art4AppsSource(folder).examples() if isinstance(row, Rejected)]
    reason = "a4a_words.py has no id of its name in its category"
    assert rejected == [Rejected("res/images/art4apps/jobs/sneak.jpg", reason, "sneak")]


# Word lists are parsed, never run


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "open({marker!r}, 'w').close()",
        'd["a4a_jobs"] = [open({marker!r}, "w").name]',
        'd["a4a_jobs"] = [open({marker!r}, "w") for _ in "a"]',
        'd["a4a_jobs"] = [f"{{open({marker!r}, \'w\')}}"]',
        'd["a4a_jobs"] = ["a"] + [open({marker!r}, "w").name]',
        'd[open({marker!r}, "w").name] = ["a"]',
        'd = dict(a=open({marker!r}, "w"))',
        "class A: open({marker!r}, 'w')",
        "e = dict()",
        'd["a4a_jobs"] = [1, 2]',
        'd["a4a_jobs"] = [b"a"]',
        'd["a4a_jobs"] = "a"',
    ],
)
def test_a_word_list_with_code_is_refused_and_not_run(tmp_path: Path, code: str) -> None:
    marker = tmp_path / "marker"
    name = f"{archive.LISTS}/de.py"
    added = code.format(marker=str(marker)).encode()
    folder = changed(tmp_path / "in", name, lambda data: data + added + b"\n")
    line = (folder / name).read_text("utf-8").count("\n")
    assert complaint(folder) == (
        f"{folder / name}, line {line} holds something other than word lists, which mmeval does not run; "
        "get the package again."
    )
    assert not marker.exists()


@pytest.mark.parametrize("form", ["deb", "unpacked"])
def test_no_file_of_a_package_is_imported(tmp_path: Path, form: str) -> None:
    """The programs beside the word lists end the process when they run."""
    folder = archive.write(tmp_path, form)
    before = set(sys.modules)
    list(Art4AppsSource(folder).examples())
    assert not [module for module in set(sys.modules) - before if module.startswith(("a4a", "i18n", "eduactiv8"))]
    assert sorted(path.name for path in tmp_path.rglob("*.pyc")) == []


@pytest.mark.parametrize(
    "content", [b"d = dict(\n", b"\xff\xfe", b"d\0", b"[" * 5000, b"-" * 100_000 + b"1", b"d = " + b"(" * 150]
)
def test_a_word_list_that_is_no_python_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^de\.py(, line 1 holds| is not a Python file of word lists)[^\n]+again\.$"):
        python_lists(content, "de.py")


def test_a_huge_word_list_is_refused() -> None:
    with pytest.raises(DataError, match="more than 262,144 bytes"):
        python_lists(b"#" * 300_000, "de.py")


def test_invalid_escapes_in_a_word_list_warn_nobody() -> None:
    """Warnings are errors in the tests."""
    assert python_lists(b'd["a4a_x"] = ["\\d"]\n', "de.py") == {"x": ["\\d"]}


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    """Every word after a gap would belong to another drawing."""
    name = f"{archive.LISTS}/lkt.py"
    folder = changed(tmp_path, name, lambda data: data.replace(b"'worker0 in lkt \xc3\xb1', ", b""))
    assert complaint(folder) == (
        f"{folder / name}: jobs has 16 words, but there are 17 ids in a4a_words.py; get the package again."
    )


def test_packages_without_ids_drawings_or_words_are_refused(tmp_path: Path) -> None:
    def without(*parts: str) -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        files = {name: data for name, data in archive.pysiogame_files().items() if not any(p in name for p in parts)}
        archive.unpack(folder, files)
        archive.unpack(folder, archive.gcompris_files())
        return folder

    folder = without("a4a_words.py")
    assert complaint(folder) == f"{folder} lacks {archive.WORDS}. {GET}"
    folder = without("images")
    assert complaint(folder) == f"{folder} has no drawing that a4a_words.py names. {GET}"
    folder = without("nothing")
    (folder / archive.RCC).write_bytes(archive.rcc_file({"a/words.json": (0, b"{}")}))
    assert complaint(folder) == f"{folder} has no word list content-LANGUAGE.json in lang.rcc. {GET}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object of texts"),
        (b'{"a.ogg": 1}', "is not a JSON object of texts"),
    ],
)
def test_a_json_file_that_holds_no_words_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        json_words(content, "content-de.json")
    assert str(caught.value) == f"content-de.json {reason}; get the package again."


# Hostile packages


def test_a_package_that_is_cut_off_anywhere_is_refused(tmp_path: Path, folder: Path) -> None:
    data = (folder / archive.PYSIOGAME).read_bytes()
    path = tmp_path / "p.deb"
    for length in (0, 7, 8, 40, 68, 100, 300, 1000, len(data) // 2, len(data) - 40):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=rf"^{path} (is|has) [^\n]+\.$"):
            deb.read_deb(path, ANY)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"is cut off: data.tar.xz should have [0-9,]+ bytes; get it again\.$"):
        deb.read_deb(path, ANY)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "has no member data.tar.*; it is damaged or no Debian package: get it again."),
        ({"data.tar.bz9": b"x"}, "its files are in data.tar.bz9, which is not compressed with xz, gzip or zstd."),
        ({"data.tar.xz": b"not xz"}, "is damaged ("),
        ({"data.tar.gz": b"not gzip"}, "is damaged ("),
        ({"data.tar.zst": b"not zstd"}, "is damaged ("),
        ({"data.tar": b"not tar" * 100}, "is damaged ("),
        ({"data.tar.xz": archive.compressed(archive.tar_file({"a": b"a" * 9999})[:2000], "xz")}, "is damaged ("),
    ],
)
def test_a_damaged_package_is_named(tmp_path: Path, members: dict[str, bytes], reason: str) -> None:
    path = archive.write_ar(tmp_path / "p.deb", members)
    with pytest.raises(DataError) as caught:
        deb.read_deb(path, ANY)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_members_of_odd_size_are_padded(tmp_path: Path) -> None:
    """As ar does; the member that follows begins at an even offset."""
    data = archive.tar_file({"a": b"b"})
    path = archive.write_ar(tmp_path / "p.deb", {"debian-binary": b"2.0", "data.tar": data})
    assert deb.read_deb(path, ANY) == {"a": b"b"}


def test_a_file_that_is_no_package_is_refused(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / archive.PYSIOGAME
    path.write_bytes(b"PK\x03\x04 a zip file")
    shutil.copy(folder / archive.GCOMPRIS, tmp_path)
    assert complaint(tmp_path) == f"{path} is not a Debian package: it does not begin as an ar archive does."


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_links_devices_and_paths_out_of_the_package_are_ignored(tmp_path: Path) -> None:
    name = f"{archive.DRAWINGS}/jobs/evil.jpg"
    more = [
        link(f"./{name}", "/etc/passwd"),
        link(f"./{name}", f"./{archive.WORDS}", tarfile.LNKTYPE),
        link(f"./{name}", "", tarfile.CHRTYPE),
    ]
    files = archive.pysiogame_files()
    outside = {f"../{name}": b"a", f"/{name}": b"b", f"{archive.DRAWINGS}/../art4apps/jobs/evil.jpg": b"c"}
    archive.write_deb(tmp_path / archive.PYSIOGAME, files | outside, "xz", more)
    archive.write_deb(tmp_path / archive.GCOMPRIS, archive.gcompris_files())
    source = Art4AppsSource(tmp_path)
    assert list(source.examples())
    assert "evil" not in {drawing.id for drawing in source.drawings}
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.GCOMPRIS, archive.PYSIOGAME]


def test_links_in_an_unpacked_package_are_ignored(tmp_path: Path) -> None:
    archive.write(tmp_path, "unpacked")
    (tmp_path / archive.DRAWINGS / "jobs" / "evil.jpg").symlink_to("/etc/passwd")
    assert [row.id for row in Art4AppsSource(tmp_path).examples() if isinstance(row, Rejected)] == ["sneak"]


@pytest.mark.parametrize("limit", ["LARGEST_FILE", "LARGEST_UNPACKED", "MOST_FILES", "MOST_BYTES"])
def test_a_package_beyond_a_limit_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(deb, limit, 40)
    with pytest.raises(DataError, match=r"more than [0-9,]+"):
        deb.read_deb(folder / archive.PYSIOGAME, ANY)


def test_zstd_without_a_reader_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.write(tmp_path, compression="zst")
    codec = SimpleNamespace(is_available=lambda name: False)
    monkeypatch.setattr(deb, "pa", SimpleNamespace(Codec=codec, ArrowException=pa.ArrowException))
    assert "compressed with zstd, which this build of pyarrow can't read; unpack it with `dpkg-deb -x" in (
        complaint(tmp_path)
    )


# Hostile resource files

SMALL = archive.rcc_file({"a/b/content-de.json": (archive.ZLIB, b'{"a.ogg": "b"}'), "a/raw": (0, b"raw")})
TREE, ENTRY = struct.unpack(">I", SMALL[8:12])[0], 31
"""Offsets of the tree, and of the compressed entry."""


def refused(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        rcc.read_rcc(data, "lang.rcc", ANY)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def patched(offset: int, form: str, *values: int) -> bytes:
    data = bytearray(SMALL)
    struct.pack_into(form, data, offset, *values)
    return bytes(data)


def test_a_resource_file_is_read_by_path() -> None:
    assert rcc.read_rcc(SMALL, "", ANY) == {"a/b/content-de.json": b'{"a.ogg": "b"}', "a/raw": b"raw"}
    assert list(rcc.read_rcc(SMALL, "", re.compile("a/r.*"))) == ["a/raw"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "lang.rcc is not a Qt resource file: it does not begin with qres."),
        (SMALL[:10], "is beyond its end"),
        (patched(4, ">I", 9), "its version is 9, not 1, 2 or 3"),
        (patched(8, ">I", 0xFFFFFFFF), "is beyond its end"),
        (patched(12, ">I", 0xFFFFFFFF), "is beyond its end"),
        (patched(16, ">I", 0xFFFFFFFF), "is beyond its end"),
        (patched(TREE + 6, ">II", 1, 0), "a folder contains itself"),
        (patched(TREE + 6, ">II", 0xFFFFFFFF, 1), "more than 10,000 entries"),
        (patched(TREE + 6, ">II", 1, 0xFFFFFFF0), "is beyond its end"),
        (patched(TREE + 6, ">II", 2, 1), "two folders contain the same entry"),
        (patched(24, ">I", 0xFFFFFF), "is beyond its end"),
        (patched(ENTRY, ">I", len(zlib.compress(b'{"a.ogg": "b"}', 9))), "an entry has another size than it declares"),
        (patched(ENTRY + 4, ">I", 15), "an entry has another size than it declares"),
        (patched(ENTRY + 8, ">I", 0), "an entry can't be unpacked"),
        (SMALL.replace("raw".encode("utf-16-be"), b"\xd8\x00\0r\0a"), "a name is not UTF-16"),
        (archive.rcc_file({"a" * 2000: (0, b"")}), "a path has more than 1,000 characters"),
        (archive.rcc_file({"/".join("a" * 600): (0, b"")}), "a path has more than 1,000 characters"),
    ],
)
def test_a_hostile_resource_file_is_refused(data: bytes, reason: str) -> None:
    assert reason in refused(data)


def test_a_folder_that_contains_its_own_folder_ends() -> None:
    """A reader that follows it would never end."""
    second = patched(TREE + 22 + 6, ">II", 2, 1)
    assert "a folder contains itself" in refused(second)


@pytest.mark.parametrize("flag", [archive.RAW, archive.ZLIB, archive.ZSTD])
def test_an_entry_that_unpacks_to_gigabytes_is_refused(flag: int) -> None:
    bomb = archive.rcc_file({"a": (flag, bytes(5 << 20))})
    assert "an entry has more than 4,194,304 bytes" in refused(bomb)


def test_many_entries_that_share_their_data_are_refused() -> None:
    """Ten thousand nodes may point to the same four megabytes."""
    bomb = archive.rcc_file({f"a{number}": (archive.ZLIB, bytes(4 << 20)) for number in range(9)})
    assert "its entries have more than 33,554,432 bytes" in refused(bomb)


def test_damaged_zstd_and_zlib_entries_are_refused() -> None:
    zstd = archive.rcc_file({"a": (archive.ZSTD, b"b" * 100)})
    at = zstd.index(archive.zstd(b"b" * 100))
    assert "an entry can't be unpacked" in refused(zstd[:at] + b"\0\0\0\0" + zstd[at + 4 :])
    packed = zlib.compress(b'{"a.ogg": "b"}', 9)
    assert "an entry" in refused(SMALL.replace(packed, packed[:-4] + b"\0\0\0\0"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_random_damage_of_a_resource_file_raises_only_data_errors(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for offset, value in changes:
        data[offset] = value
    with contextlib.suppress(DataError):
        rcc.read_rcc(bytes(data), "lang.rcc", ANY)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["", "gz", "xz", "zst"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_random_damage_of_a_package_raises_only_data_errors(
    tmp_path_factory: pytest.TempPathFactory, compression: str, changes: list[tuple[float, int]]
) -> None:
    path = archive.write_deb(tmp_path_factory.getbasetemp() / "random.deb", {"a": b"b", "c/d": b"e"}, compression)
    data = bytearray(path.read_bytes())
    for position, value in changes:
        data[int(position * len(data))] = value
    path.write_bytes(data)
    with contextlib.suppress(DataError):
        deb.read_deb(path, ANY)


# Preparation and card


def test_the_packages_are_prepared_and_differ_from_the_card(spec: DatasetSpec, folder: Path) -> None:
    store = prepare(spec, spec.archive.open(folder, ""), released=False)
    assert store.languages == ("bg", "ca", "de", "el", "en", "et", "lkt", "pt")
    assert (sum(store.split_sizes.values()), store.image_count, store.rejected_count) == (sum(ROWS.values()), 48, 1)
    assert store.tasks[0].classes == ("animals", "fruit_n_veg", "jobs")
    assert store.info["spanning"] == {}
    assert [name for name in store.info["differences"] if name.startswith("images: the card says 579")]


def test_other_packages_than_the_released_ones_are_refused(spec: DatasetSpec, folder: Path) -> None:
    with pytest.raises(DataError, match=r"art4apps differs from its data card .+--allow-mismatch accepts it"):
        open_archive(spec, DatasetRequest("art4apps", source=folder), download=False)


def test_a_user_without_the_packages_learns_how_to_get_them(spec: DatasetSpec) -> None:
    with pytest.raises(DataError) as caught:
        open_archive(spec.model_copy(update={"name": "art4apps-unseen"}), DatasetRequest("art4apps"), download=False)
    assert str(caught.value) == f"art4apps-unseen is not prepared on this machine. {GET}"


def test_card_agrees_with_the_plugin(spec: DatasetSpec) -> None:
    card = read_card(spec.card)
    assert (card.name, card.images, card.rejected) == (spec.name, 579, 6)
    assert set(card.languages) == {language_of(locale) for locale in LOCALES}
    assert sum(card.splits.values()) == 22665
    assert sum(card.per_language["test"].values()) == card.splits["test"]
    assert len(card.tasks["category"]) == 12
    names = card.class_names["category"]
    assert set(names) == {"en", *GLAMI12_LOCALES}
    assert all(set(by_class) == set(card.tasks["category"]) for by_class in names.values())
    assert card.unverified == ()
    assert "CC BY-SA 3.0" in spec.credit
    assert "GPL-3.0" in spec.credit


def test_card_of_the_variant_has_its_own_languages_and_counts(spec: DatasetSpec) -> None:
    card = read_card(spec.card, GLAMI12)
    assert tuple(VARIANTS) == (GLAMI12,)
    assert card.languages == GLAMI12_LOCALES
    assert sum(card.splits.values()) == 6114
    assert set(card.per_language["test"]) == set(GLAMI12_LOCALES)


def test_generated_drawings_are_different_and_twins_are_not() -> None:
    """The tests rely on it."""
    files = archive.pysiogame_files()
    contents = [data for name, data in files.items() if name.endswith(".jpg")]
    assert (len(contents), len(set(contents))) == (49, 48)
    assert archive.jpeg(np.random.default_rng(0), "jobs")[:2] == b"\xff\xd8"
