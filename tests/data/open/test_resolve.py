"""Names after --dataset, and errors for options that don't fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmeval.data.open.resolve import open_data, resolve_spec
from mmeval.data.request import DatasetRequest
from mmeval.errors import UserError
from mmeval.plugin.manager import Manager
from tests.archives import fashion_products, food

ONLY = "only tables have this option; write --dataset table:PATH."


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("request_fields", "message"),
    [
        (
            {"name": "emoji14", "source": Path("x")},
            "--source x: emoji14 is generated from installed packages; leave --source out.",
        ),
        (
            {"name": "emoji14", "allow_mismatch": True},
            "--allow-mismatch: emoji14 is generated from installed packages; leave the option out.",
        ),
        ({"name": "food101", "columns": "text=title"}, f"--columns text=title: {ONLY}"),
        ({"name": "food101", "language": "en"}, f"--language en: {ONLY}"),
        ({"name": "emoji14", "images": Path("images")}, f"--images images: {ONLY}"),
        ({"name": "emoji14:big"}, 'emoji14 has no variant "big"; it has no variants.'),
        (
            {"name": "food101:big"},
            'food101 has no variant "big"; its variants are title, title-masked, mmbt, mmbt-title-masked.',
        ),
        (
            {"name": "food101:"},
            'food101 has no variant ""; its variants are title, title-masked, mmbt, mmbt-title-masked.',
        ),
        ({"name": "fod101"}, 'No data set is named "fod101". Did you mean "food101"? `mmeval data` lists all.'),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_options_that_do_not_fit_are_refused(request_fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Before anything is prepared."""
    with pytest.raises(UserError) as caught:
        open_data(DatasetRequest(**request_fields), Manager())
    assert str(caught.value) == message
    assert not (tmp_path / "home" / "stores").exists()


def test_the_path_of_a_table_needs_the_prefix(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("text,label\n")
    with pytest.raises(UserError) as caught:
        open_data(DatasetRequest(str(path)), Manager())
    assert str(caught.value) == f"{path}: a file or folder of your own is written table:{path}."


@pytest.mark.parametrize(
    ("name", "make", "licence"),
    [("food101:title-masked", food.write, "unknown"), ("fashion-product-images", fashion_products.write, None)],
)
def test_a_data_set_comes_with_its_licence(name: str, make: Any, licence: str | None, tmp_path: Path) -> None:
    """Which decides whether reports may show its images."""
    dataset = open_data(DatasetRequest(name, source=make(tmp_path / "archive"), allow_mismatch=True), Manager())
    assert dataset.store.name == f"{name}-mismatched"
    assert dataset.spec.full_name == name
    assert dataset.licence
    assert licence is None or dataset.licence == licence


def test_the_default_variant_may_be_named() -> None:
    """`food101:title` must be the same data set as `food101`, so that scores can be compared."""
    manager = Manager()
    assert resolve_spec("food101:title", manager) == resolve_spec("food101", manager)
    assert resolve_spec("food101:title-masked", manager).full_name == "food101:title-masked"
