"""The files of a published run: a run folder without local paths, its model card, and its results for the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from mmeval.data.open.resolve import resolve_spec
from mmeval.data.request import DatasetRequest
from mmeval.errors import RunFolderError, UserError
from mmeval.files import atomic_folder
from mmeval.integrity import with_seal
from mmeval.plugin.manager import Manager
from mmeval.publish.card import CardFacts, model_card
from mmeval.publish.private import shorten, value_without_folders
from mmeval.publish.results import results_files
from mmeval.publish.tree import Tree, size_of
from mmeval.record import FileRecord, Publication, Record
from mmeval.report.content import Content
from mmeval.report.html import html
from mmeval.runs.analysis import analysis_of
from mmeval.runs.folder import FILES, RunFolder
from mmeval.runs.gallery import empty_gallery
from mmeval.runs.manifest import differences, format_differences

TEXTS = (".json", ".md", ".html", ".yaml", ".txt", ".toml", ".csv")
"""Suffixes of files that are searched for local paths before they are published."""


@dataclass(frozen=True)
class RunRequest:
    """A user's request to publish a run."""

    run: Path
    repo: str = ""
    """The repository ``owner/name``; may be empty for a folder."""
    predictions: bool = False
    """Whether the predictions of the scored split are published too."""
    gallery: bool | None = None
    """Whether images and texts of the data set are shown; None: only where its data card allows redistribution."""
    licence: str = ""
    """The licence of the model, as the Hub names it; empty for that of the plugin."""
    dataset_repo: str = ""
    """The repository of the data set on the Hub, ``owner/name``; empty if it has none."""


class Staged(NamedTuple):
    """The files of a publication, and sentences about it for the user."""

    tree: Tree
    record: Record
    notes: tuple[str, ...]


def stage_run(request: RunRequest) -> Staged:
    """Return the files of a publication; nothing is written.

    They are a run folder again: ``run.json`` has the digests of exactly these files, names those that were left out,
    and is sealed anew, since local paths in it were shortened.

    Raises:
        UserError: there is no finished run, its files were changed, or it has schema 1, which has no digests.
    """
    folder = RunFolder(request.run)
    original = folder.record
    if original.schema_version == 1:
        raise RunFolderError(
            f"{folder.path} can't be published: its run.json has schema 1, which has no digests, so that nobody could "
            "verify it; only another run writes them."
        )
    if changed := differences(folder.path, original.files):
        raise RunFolderError(
            f"{folder.path}: {format_differences(changed)}; {folder.rerun_advice('recreate it')} before you publish."
        )
    request = replace(request, dataset_repo=request.dataset_repo or _hub_table(original))
    private = shorten(original)
    record, notes = private.record, []
    tree: Tree = {name: folder.path / name for name in _published(original, request)}
    _replace_json(tree, folder, record)
    content = folder.content(record)
    shown, why = _may_show_examples(original, request, bool(content.gallery))
    if not shown:
        content = Content(record, content.scores, [])
        tree[folder.gallery_file.name] = empty_gallery()
        tree[folder.report_path.name] = html(content, analysis_of(folder, record)).encode()
    notes += why
    left_out = {name: file for name, file in original.files.items() if name not in tree}
    left_out |= original.publication.left_out if original.publication else {}
    facts = CardFacts(request.repo, request.licence, request.dataset_repo, tuple(left_out), shown)
    card = model_card(content, facts)
    tree["README.md"] = card.text.encode()
    tree |= results_files(content, request.repo, request.dataset_repo)
    notes += [*card.notes, *_notes(request, record, left_out)]
    seal = original.publication.seal if original.publication else original.seal
    publication = Publication(seal=seal, left_out=left_out, shortened=list(private.fields))
    files = {name: _describe(value, original.files.get(name)) for name, value in sorted(tree.items())}
    record = record.model_copy(update={FILES: files, "publication": publication})
    tree["run.json"] = _json(with_seal(record.model_dump(mode="json")))
    _require_private(tree, private.folders, folder)
    return Staged(dict(sorted(tree.items())), record, tuple(notes))


def write_folder(staged: Staged, output: Path) -> None:
    """Write a publication to a new folder.

    Raises:
        UserError: the folder exists and is not empty, or can't be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output {output} exists and is not empty; name a new folder.")
    try:
        if output.exists():
            output.rmdir()
        with atomic_folder(output) as temporary:
            for name, value in staged.tree.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(value if isinstance(value, bytes) else value.read_bytes())
    except OSError as error:
        raise UserError(f"--output {output} can't be written: {error.strerror or error}.") from None


def _hub_table(record: Record) -> str:
    """Return the repository of a table that was read from the Hub, ``table:hub:owner/name``; else an empty text."""
    match = re.match(r"table:hub:([^/]+/[^/]+)", record.dataset)
    return match[1] if match else ""


def _published(record: Record, request: RunRequest) -> dict[str, FileRecord]:
    """Return the files of a run that are published.

    The predictions of the validation split always are: temperature and thresholds are computed from them, so a model
    without them would predict other probabilities. They hold ids and labels, neither texts nor images.
    """
    split = [f"predictions/seed-{seed}.parquet" for seed in record.plan.protocol.seeds]
    return {name: file for name, file in record.files.items() if request.predictions or name not in split}


def _replace_json(tree: Tree, folder: RunFolder, record: Record) -> None:
    """Replace the JSON files of a run that name local paths, and the digests in ``fit.json`` of those it describes."""
    plan = record.plan.model_dump(mode="json")
    _replace(tree, folder.plan_file.name, plan)
    for seed in record.plan.protocol.seeds:
        config, fit = (
            path.relative_to(folder.path).as_posix()
            for path in (folder.model_folder(seed) / "config.json", folder.facts_file(seed))
        )
        if config in tree:
            stated = _load(tree[config])
            if isinstance(stated, dict):
                cleaned = {
                    name: value_without_folders(value) if name in ("plugin", "config") else value
                    for name, value in stated.items()
                }
                _replace(tree, config, cleaned)
        if fit in tree:
            facts = _load(tree[fit])
            if not isinstance(facts, dict):
                continue
            facts = value_without_folders({name: value for name, value in facts.items() if name != FILES}) | {
                FILES: facts.get(FILES, {})
            }
            if config in facts[FILES]:
                facts[FILES][config] = _describe(tree[config]).model_dump()
            _replace(tree, fit, with_seal(facts))


def _replace(tree: Tree, name: str, value: Mapping[str, Any]) -> None:
    """Replace a JSON file if its content differs from ``value``."""
    if name in tree and _load(tree[name]) != value:
        tree[name] = _json(value)


def _load(value: Path | bytes) -> Any:  # noqa: ANN401 - what JSON holds
    try:
        return json.loads(value if isinstance(value, bytes) else value.read_bytes())
    except (ValueError, RecursionError):
        return None


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _describe(value: Path | bytes, recorded: FileRecord | None = None) -> FileRecord:
    """Return size and digest of a file; those of an unchanged one were verified before."""
    import hashlib

    from mmeval.files import file_digest

    if isinstance(value, bytes):
        rows = 0 if recorded is not None and recorded.rows is not None else None
        return FileRecord(sha256=hashlib.sha256(value).hexdigest(), bytes=len(value), rows=rows)
    return recorded or FileRecord(sha256=file_digest(value), bytes=size_of(value), rows=None)


def _may_show_examples(record: Record, request: RunRequest, has_examples: bool) -> tuple[bool, list[str]]:
    """Return whether images and texts of the data set may be published, and a sentence that says why not.

    Raises:
        UserError: the user asks for them, and the data card forbids it.
    """
    if not has_examples:
        return True, []
    allowed = redistribution(record.dataset or record.plan.protocol.dataset)
    name = record.plan.protocol.dataset
    if allowed is False and request.gallery:
        raise UserError(
            f"--gallery: the data card of {name} does not allow its images and texts to be redistributed; leave the "
            "option out."
        )
    if request.gallery if request.gallery is not None else bool(allowed):
        return True, []
    if request.gallery is False:
        return False, []
    reason = (
        f"the data card of {name} forbids it"
        if allowed is False
        else f"no data card says that {name} may be redistributed; if it may, add --gallery"
    )
    return False, [f"The report is published without images and texts of the data set: {reason}."]


def redistribution(dataset: str) -> bool | None:
    """Return what the data card of an installed data set says about redistribution; None if it says nothing.

    A Python file and a table have no data card; a file is never run for it.
    """
    request = DatasetRequest(dataset)
    if request.is_table or dataset.endswith(".py"):
        return None
    try:
        spec = resolve_spec(dataset, Manager())
        from mmeval.data.card import read_card

        return read_card(spec.card, spec.variant).redistribution if spec.card else None
    except UserError:
        return None


def _notes(request: RunRequest, record: Record, left_out: Mapping[str, FileRecord]) -> Iterator[str]:
    if predictions := [name for name in left_out if name.startswith("predictions/")]:
        yield (
            f"Left out: {', '.join(sorted(predictions))} (--predictions publishes them); run.json keeps their digests."
        )
    if not request.dataset_repo:
        yield (
            f"The results name the data set {record.plan.protocol.dataset} without a repository of the Hub, so the Hub "
            "shows them on the page of the model only; --dataset-repo OWNER/NAME names its repository."
        )


def _require_private(tree: Tree, folders: frozenset[str], folder: RunFolder) -> None:
    """Check that no text of a publication names a private folder.

    Raises:
        RunFolderError: a file does, such as a report of an older version.
    """
    private = [name.encode() for name in folders]
    for name, value in tree.items():
        if private and name.endswith(TEXTS):
            text = value if isinstance(value, bytes) else value.read_bytes()
            if any(path in text for path in private):
                raise RunFolderError(
                    f"{folder.path}: {name} names a folder of this machine, so it is not published; "
                    f"`mmeval report {folder.path}` writes the report again."
                )
