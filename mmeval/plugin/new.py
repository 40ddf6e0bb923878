"""Creating an installable package with a small working model, for ``mmeval plugins new``."""

from __future__ import annotations

import importlib.util
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from mmeval.errors import UserError
from mmeval.files import atomic_folder, disk_full
from mmeval.plugin.listing import GROUPS, entry_points
from mmeval.version import API_VERSION, __version__

SUFFIX = ".jinja"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LICENCE = re.compile(r"[A-Za-z0-9.+() -]+")
_CLASSES = (
    "Batch",
    "ClassPrior",
    "Heads",
    "ImageEncoder",
    "ModelContext",
    "Output",
    "Task",
    "TextEncoder",
    "TorchModel",
)
_TAKEN = {"None", "True", "False", *_CLASSES}
"""Names that the class can't have, because the files of the package use them."""


def new_plugin(name: str, folder: Path | None = None, licence: str = "Apache-2.0") -> Path:
    """Write the package of a new model plugin.

    Args:
        name: the name that users will type after ``--plugin``.
        folder: the folder of the package, by default called like the plugin.
        licence: SPDX identifier of the licence.

    Returns:
        The folder of the package.

    Raises:
        UserError: the name is invalid or taken, or the folder exists.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f'"{name}" can\'t name a plugin: write small letters, digits and single dashes, e.g. my-model.')
    if any(entry.name == name for kind in GROUPS for entry in entry_points(kind)):
        raise UserError(f'A plugin named "{name}" is installed; choose another name (`mmeval plugins` lists them).')
    words = name.split("-")
    module, class_name = f"mmeval_{'_'.join(words)}", "".join(word.capitalize() for word in words)
    if class_name in _TAKEN:
        raise UserError(
            f'"{name}" can\'t name a plugin: its class would be {class_name}, a name that the package uses.'
        )
    if importlib.util.find_spec(module):
        raise UserError(f'"{name}" can\'t name a plugin: a module {module} is installed already; choose another name.')
    if not _LICENCE.fullmatch(licence):
        raise UserError(f"--licence {licence}: write an SPDX identifier, e.g. MIT or Apache-2.0.")
    folder = folder or Path(name)
    if folder.exists():
        raise UserError(f"{folder} exists already; name another folder with --folder, or remove it.")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if disk_full(error):
            raise
        raise UserError(f"--folder {folder} can't be created: {error.strerror}.") from None
    with atomic_folder(folder.absolute()) as temporary:
        _render(
            files("mmeval.plugin") / "template",
            temporary,
            {
                "name": name,
                "module": module,
                "class": class_name,
                "licence": licence,
                "api": API_VERSION,
                "core": __version__,
            },
        )
    return folder


def _render(source: Traversable, target: Path, values: dict[str, str]) -> None:
    """Write the files of a template folder with its variables replaced, in names and texts."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    for part in source.iterdir():
        path = target / environment.from_string(part.name).render(values)
        if part.is_dir():
            path.mkdir()
            _render(part, path, values)
        elif part.name.endswith(SUFFIX):
            text = environment.from_string(part.read_text(encoding="utf-8")).render(values)
            path.with_name(path.name.removesuffix(SUFFIX)).write_text(text, encoding="utf-8")
