"""Data sets that are read from files: the files are named once, later the data set's name suffices."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval import DatasetSpec
from mmeval.data.open.archive import open_archive
from mmeval.data.open.registry import read_registry
from mmeval.data.open.write_card import card_of
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.data.store import Store
from mmeval.datasets import fashion_product_images as fashion_products
from mmeval.datasets import food101
from mmeval.errors import DataError
from tests.archives import fashion_products as products
from tests.archives import food


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))


def registered(module: object) -> DatasetSpec:
    specs: list[DatasetSpec] = []
    module.register_datasets(specs.append)  # type: ignore[attr-defined]
    return specs[0]


@pytest.fixture
def spec() -> DatasetSpec:
    return registered(food101)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return food.write(tmp_path / "food", train=60, test=30)


def opened(spec: DatasetSpec, source: Path | None = None, *, released: bool = False, variant: str = "") -> Store:
    name = f"{spec.name}:{variant}" if variant else spec.name
    return open_archive(
        spec.model_copy(update={"variant": variant}),
        DatasetRequest(name, source=source, allow_mismatch=not released),
        download=False,
    )


def complaint(spec: DatasetSpec, source: Path | None = None, *, released: bool = True, variant: str = "") -> str:
    with pytest.raises(DataError) as caught:
        opened(spec, source, released=released, variant=variant)
    return str(caught.value)


def with_own_card(spec: DatasetSpec, store: Store, path: Path, more: str = "") -> DatasetSpec:
    """Return the spec with a card that agrees with the small archive."""
    text = card_of(Dataset(spec, store, "other")).replace("\nmmeval:\n", f"\nmmeval:\n{more}")
    path.write_text(text, encoding="utf-8")
    return spec.model_copy(update={"card": path})


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after whose call any preparation fails the test."""

    def call() -> None:
        monkeypatch.setattr("mmeval.data.open.archive.prepare", lambda *_, **__: pytest.fail("it was prepared again"))

    return call


def test_a_prepared_data_set_is_opened_by_its_name(spec: DatasetSpec, folder: Path, forbid: Callable[[], None]) -> None:
    """Even if the archive was deleted."""
    store = opened(spec, folder)
    shutil.rmtree(folder)
    forbid()
    assert opened(spec).folder == store.folder
    assert opened(spec, released=True).folder == store.folder, "the registered Store is opened"


def test_accepted_mismatches_are_part_of_the_name(spec: DatasetSpec, folder: Path) -> None:
    store = opened(spec, folder)
    assert (store.released, store.name) == (False, "food101-mismatched")
    assert "examples in test: the card says 22716, the data has 30" in store.info["differences"]
    variant = opened(spec, variant="title-masked")
    assert (variant.released, variant.name) == (False, "food101:title-masked-mismatched")


def test_a_mismatch_is_refused_without_the_option(spec: DatasetSpec, folder: Path) -> None:
    message = complaint(spec, folder)
    assert message.startswith("food101 differs from its data card (food101.md): ")
    assert "examples in test: the card says 22716, the data has 30" in message
    assert message.endswith(" --allow-mismatch accepts it, and marks every score of it.")
    assert read_registry("food101") == {}


def test_a_variant_is_prepared_from_the_registered_path(spec: DatasetSpec, folder: Path) -> None:
    """And shares the images."""
    store = opened(spec, folder)
    variant = opened(spec, variant="title-masked")
    assert (variant.folder != store.folder, variant.images_folder) == (True, store.images_folder)
    assert set(read_registry("food101")) == {"", "title-masked"}


def test_a_deleted_store_is_prepared_again(spec: DatasetSpec, folder: Path) -> None:
    store = opened(spec, folder)
    shutil.rmtree(store.folder)
    again = opened(spec)
    assert (again.folder, again.fingerprint, again.released) == (store.folder, store.fingerprint, False)


def test_released_and_mismatched_data_have_separate_stores(spec: DatasetSpec, folder: Path, tmp_path: Path) -> None:
    true = with_own_card(spec, opened(spec, folder), tmp_path / "card.md")
    store = opened(true, folder, released=True)
    assert (store.released, store.name, store.info["differences"]) == (True, "food101", [])
    assert opened(true, released=True).folder == store.folder
    other = opened(true)
    assert (other.released, other.name, other.fingerprint) == (False, "food101-mismatched", store.fingerprint)
    assert opened(true, folder, released=True).folder == store.folder


def test_without_files_the_message_says_how_to_get_them(spec: DatasetSpec) -> None:
    assert complaint(spec) == f"food101 is not prepared on this machine. {spec.archive.get}"
    may = spec.model_copy(update={"archive": spec.archive.model_copy(update={"downloads": {"": None}})})
    message = (
        "food101 is not prepared on this machine. `mmeval data prepare food101:x` downloads it, or get it yourself: "
    )
    assert complaint(may, variant="x") == message + spec.archive.get


def test_after_deleting_files_and_store_the_message_says_how_to_get_them(spec: DatasetSpec, folder: Path) -> None:
    store = opened(spec, folder)
    shutil.rmtree(store.folder)
    shutil.rmtree(folder)
    assert complaint(spec) == f"food101 is not prepared on this machine. {spec.archive.get}"


def test_a_missing_source_is_refused(spec: DatasetSpec, tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert complaint(spec, path) == f"--source {path}: there is no such file or folder."


def test_a_file_is_compared_with_its_published_digest(tmp_path: Path) -> None:
    """An incomplete download or another release is refused before the long preparation."""
    spec = registered(fashion_products)
    path = products.write(tmp_path / "products", rows=60) / "data" / products.NAMES[0]
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    store = opened(spec, path)
    true = with_own_card(spec, store, tmp_path / "card.md", f"  sources: {{{path.name}: {{md5: {md5}}}}}\n")
    assert opened(true, path, released=True).released
    path.write_bytes(path.read_bytes() + b" ")
    other = hashlib.md5(path.read_bytes()).hexdigest()
    assert complaint(true, path) == (
        f"{path} is not the published file: its MD5 is {other}, the card says {md5}; a download that was cut short "
        "looks like this: fetch it again, or accept it as it is with --allow-mismatch."
    )
    path.rename(tmp_path / "mine.parquet")
    path = tmp_path / "mine.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert opened(true, path, released=True).fingerprint == store.fingerprint, "the card has no digest of this file"


def test_opening_does_not_read_the_data(spec: DatasetSpec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    opened(spec, folder)
    monkeypatch.setattr(pa, "memory_map", lambda *_: pytest.fail("a shard was opened"))
    store = opened(spec)
    facts = (store.name, store.fingerprint, store.languages, store.split_sizes, store.image_count, store.tasks)
    assert all(facts)
    assert json.dumps(store.info)


def test_an_archive_unpacked_one_folder_deeper_is_found(
    spec: DatasetSpec, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    inner = folder.rename(outer / "upmcfood101")
    (outer / "__MACOSX").mkdir()
    (outer / "other").mkdir()
    store = opened(spec, outer)
    assert f"food101 is one folder deeper than given, in {inner}\n" in capsys.readouterr().err
    assert opened(spec).folder == store.folder
    food.write(outer / "second", train=60, test=30)
    message = complaint(spec, outer, released=False)
    assert message.startswith(f"{outer} lacks the folder images/test"), "two candidates are ambiguous"
