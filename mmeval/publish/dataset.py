"""Publication of a data set by ``datasets``' own ``push_to_hub``: one configuration per language, where allowed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml
from rich.table import Table

from mmeval.console import cell, progress
from mmeval.data.card import NoHeaderError, read_card, read_header
from mmeval.data.open.resolve import resolve_spec
from mmeval.data.open.write_card import card_of
from mmeval.data.request import Dataset, DatasetRequest
from mmeval.data.table.resolve import table_options
from mmeval.errors import UserError
from mmeval.fetch.hub import DATASET
from mmeval.plugin.manager import Manager
from mmeval.publish.hub import Uploaded, hub_errors, require_token, upload
from mmeval.publish.results import task_ids
from mmeval.publish.tree import Tree
from mmeval.safe_yaml import YamlError

if TYPE_CHECKING:
    import datasets

UNKNOWN = "unknown"
FRAMEWORK = "mmeval"
KEPT = ("configs", "dataset_info")
"""Fields of the card's header that ``push_to_hub`` writes: the files and columns of each configuration."""
FINGERPRINT = "fingerprint"
FRAMEWORK_PR = """\
The Hub reads eval.yaml only if it knows its evaluation_framework. To add mmeval, open a pull request in
huggingface/huggingface.js that adds these lines to packages/tasks/src/eval.ts, and name it in the discussion of the
Hub's allow-list of benchmarks (hub-docs, issue 2648):

	mmeval: {
		name: "mmeval",
		description: "mmeval trains and evaluates multilingual image-text classification models, per language.",
		url: "https://huggingface.co/datasets/REPO",
	},
"""
"""The text of the pull request that makes the Hub know mmeval."""


class StagedDataset(NamedTuple):
    """A data set that may be published, with its files beside the data."""

    dataset: Dataset
    repo: str
    card: str
    """The data card, with the fingerprint of the data in its header."""
    eval_yaml: str
    """The tasks of the Hub's leaderboard."""
    notes: tuple[str, ...]

    def listing(self) -> Table:
        """Return a table of the configurations and files, for ``--dry-run``."""
        table = Table(title=cell(self.repo), title_justify="left", box=None, pad_edge=False)
        splits = list(self.dataset.split_sizes)
        for name in ("file or configuration", *splits, "bytes"):
            table.add_column(cell(name), justify="left" if name.startswith("file") else "right")
        counts = _rows(self.dataset)
        for name, text in (("README.md", self.card), ("eval.yaml", self.eval_yaml)):
            table.add_row(name, *[""] * len(splits), f"{len(text.encode()):,}")
        for language in self.dataset.languages:
            rows = [f"{counts.get((language, split), 0):,}" for split in splits]
            table.add_row(cell(f"{language}/*.parquet"), *rows, "")
        return table


def require_licence(request: DatasetRequest, licence: str = "") -> None:
    """Check that a data set may be published, before anything is prepared or sent.

    A data set of a plugin needs ``redistribution: true`` in its data card; a table needs a licence, by its
    ``dataset.toml`` or by the user.

    Raises:
        UserError: the licence forbids it, or nobody states that it allows it.
    """
    if request.is_table:
        stated = licence or table_options(request, Manager()).licence
        if stated == UNKNOWN:
            raise UserError(
                f"--dataset {request.name}: the licence of this table is not known, so it is not published; name it "
                "with --licence, as the Hub does: cc-by-4.0, other, ..."
            )
        return
    spec = resolve_spec(request.name, Manager())
    card = read_card(spec.card, spec.variant) if spec.card else None
    allowed = card.redistribution if card is not None else None
    if licence:
        raise UserError(f"--licence {licence}: the data card of {spec.name} states its licence; leave the option out.")
    if allowed:
        return
    name = card.header.get("license_name", card.licence) if card is not None else UNKNOWN
    why = (
        "forbids that others publish the data"
        if allowed is False
        else "does not say that others may publish the data (redistribution: true)"
    )
    raise UserError(
        f"--dataset {request.name} is not published: its data card {why}; licence: {name}. Runs on it can be "
        "published, without images and texts."
    )


def stage_dataset(dataset: Dataset, repo: str, licence: str = "") -> StagedDataset:
    """Return card and leaderboard tasks of a data set; nothing is sent.

    Raises:
        UserError: the prepared data differs from its card.
    """
    if not dataset.store.released:
        raise UserError(
            f"{dataset.name} differs from the published data (--allow-mismatch), so it is not published under its name."
        )
    data = dataset if not licence else Dataset(dataset.spec, dataset.store, licence)
    shipped = data.spec.card
    header, body = read_header(shipped.read_bytes() if shipped else card_of(data).encode())
    header["mmeval"] = dict(header["mmeval"]) | {FINGERPRINT: data.store.fingerprint}
    header["language"] = [language for language in data.languages if language != "und"] or header.get("language")
    use = f'\n## Use\n\n```python\nimport datasets\n\ndatasets.load_dataset("{repo}", "{data.languages[0]}")\n```\n'
    tasks = [task.name for task in data.tasks]
    split = "test"
    ids = list(task_ids(data.name, tasks, data.languages, split))
    facts: dict[str, Any] = {
        "name": data.name,
        "description": data.spec.summary,
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": name, **({"config": language} if language else {}), "split": split} for name, language in ids],
    }
    notes = (
        f"eval.yaml names the evaluation framework {FRAMEWORK}; the Hub shows a leaderboard once it knows that name: "
        "docs/publishing.md has the text of the pull request.",
    )
    card = _with_header(header, f"{body.rstrip()}\n{use}")
    return StagedDataset(data, repo, card, yaml.safe_dump(facts, sort_keys=False, allow_unicode=True), notes)


def publish_dataset(staged: StagedDataset, *, private: bool = False) -> Uploaded:
    """Publish a data set: its card and leaderboard tasks first, then one configuration per language.

    A repeated call sends only configurations that the repository lacks, unless the data has another fingerprint.

    Raises:
        PublishError: the Hub refused, or could not be reached; configurations that were sent are kept.
    """
    token = require_token()
    repo, dataset = staged.repo, staged.dataset
    with hub_errors(repo, DATASET, token):
        published, header, body = _published_card(repo)
    same = (header.get("mmeval") or {}).get(FINGERPRINT) == dataset.store.fingerprint
    kept = {name: header[name] for name in KEPT if same and name in header}
    own_header, own_body = read_header(staged.card.encode())
    card = _with_header(own_header | kept, own_body).encode()
    if (header, body.strip()) == (own_header | kept, own_body.strip()):
        card = published  # `push_to_hub` has written the same header in other lines
    tree: Tree = {"README.md": card, "eval.yaml": staged.eval_yaml.encode()}
    result = upload(tree, repo, f"mmeval: {dataset.name}", private=private, kind=DATASET, marker="eval.yaml")
    done = {config.get("config_name") for config in kept.get("configs", [])}
    missing = [language for language in dataset.languages if language not in done]
    if not missing:
        return result
    configurations = _by_language(dataset)
    with (
        hub_errors(repo, DATASET, token),
        _quiet_datasets(),
        progress(f"{repo}: upload", len(missing), "languages") as advance,
    ):
        for language in missing:
            commit = configurations[language].push_to_hub(
                repo, language, private=private or None, commit_message=f"mmeval: {dataset.name}, {language}"
            )
            advance()
    return Uploaded(result.url, str(commit.oid), True)


def _published_card(repo: str) -> tuple[bytes, Mapping[str, Any], str]:
    """Return the card in a repository, its header and its prose; all empty if there is none that can be read."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    try:
        text = Path(hf_hub_download(repo, "README.md", repo_type="dataset")).read_bytes()
        return text, *read_header(text)
    except (EntryNotFoundError, RepositoryNotFoundError, NoHeaderError, YamlError, UnicodeDecodeError, TypeError):
        return b"", {}, ""


@contextlib.contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Switch off the bars and log lines of ``datasets``, several per split, within the block."""
    import datasets
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    bars, level = not are_progress_bars_disabled(), datasets.logging.get_verbosity()
    disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            enable_progress_bars()


def _by_language(dataset: Dataset) -> dict[str, datasets.DatasetDict]:
    """Return the splits of each language; a split without rows of a language is left out."""
    import datasets

    splits = dataset.to_datasets()
    languages = {
        split: np.asarray(rows.select_columns(["language"]).with_format("arrow")[:]["language"].to_pylist())
        for split, rows in splits.items()
    }
    return {
        language: datasets.DatasetDict(
            {
                split: rows.select(np.flatnonzero(languages[split] == language))
                for split, rows in splits.items()
                if (languages[split] == language).any()
            }
        )
        for language in dataset.languages
    }


def _rows(dataset: Dataset) -> dict[tuple[str, str], int]:
    """Return the number of rows by language and split."""
    from mmeval.data.stats import stats

    return {
        (row.language, split): count for row in stats(dataset.store).languages for split, count in row.splits.items()
    }


def _with_header(header: Mapping[str, Any], body: str) -> str:
    dumped = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    return f"---\n{dumped}---\n{body}"
