"""What a plugin declares: a model, a data set or a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmeval.api.checked import checked, require, require_callable, require_name, require_texts
from mmeval.api.source import Source
from mmeval.api.task import ModelContext

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmeval.api.config import ModelConfig

MODALITIES = ("image", "text")


@checked
@dataclass(frozen=True)
class ModelSpec:
    """A model plugin.

    Raises:
        SpecError: a field is missing, unknown, or not what it must be.
    """

    name: str
    """What a user types after ``--plugin``; the same as the entry point's name."""
    summary: str
    """One line."""
    config: type[ModelConfig]
    """The class of its options: of ``mmeval.TorchConfig`` for a torch model, else of ``mmeval.ModelConfig``."""
    build: Callable[[Any, ModelContext], Any]
    """Make an untrained model (a ``TorchModel`` or a ``Model``) from its config; import torch in here."""
    version: str
    """The plugin's own version; it stands in the signature of every score."""
    inputs: tuple[str, ...]
    """Which of `image` and `text` the model uses; at least one."""
    paper: str
    """Title and arXiv number or DOI of the paper, or `none`."""
    licence: str
    """Licence of the code and of any weights."""
    presets: Mapping[str, Mapping[str, Any]]
    """Option values by dotted name, per preset; at least the default one, which may be empty: ``{"tiny": {}}``."""
    default_preset: str = "tiny"
    """The preset that is taken when the user names none."""
    references: tuple[str, ...] = ()
    """Addresses: paper, code."""
    distribution: str = ""
    """Package and version that it came from; set by mmeval."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        from mmeval.api.config import ModelConfig, defaults, options

        require_name(self)
        require_texts(self, "summary", "version", "paper", "licence")
        require_callable(self, "build")
        known = isinstance(self.inputs, tuple) and all(one in MODALITIES for one in self.inputs)
        require(self, known and bool(self.inputs), f'inputs must be a tuple of "image", "text", it is {self.inputs!r}')
        is_config = isinstance(self.config, type) and issubclass(self.config, ModelConfig)
        shown = self.config.__name__ if isinstance(self.config, type) else f"a {type(self.config).__name__}"
        require(self, is_config, f"config must be a subclass of mmeval.ModelConfig, it is {shown}")
        nested = isinstance(self.presets, Mapping) and all(
            isinstance(name, str) and isinstance(values, Mapping) for name, values in self.presets.items()
        )
        require(self, nested, f"presets must be a mapping of mappings, it is {self.presets!r}")
        texts = isinstance(self.references, tuple) and all(isinstance(one, str) for one in self.references)
        require(self, texts, f"references must be a tuple of texts, it is {self.references!r}")
        names = {option.name for option in options(defaults(self.config))}
        for preset, values in self.presets.items():
            for key in values:
                require(self, key in names, f'its preset {preset} sets "{key}", which {shown} does not have')
        has = ", ".join(self.presets) or "none"
        found = isinstance(self.default_preset, str) and self.default_preset in self.presets
        require(self, found, f'it lacks its default preset "{self.default_preset}" (presets: {has})')


@checked
@dataclass(frozen=True)
class Download:
    """A file that may be fetched: from the Hub, else by plain HTTPS.

    Raises:
        SpecError: a field is missing, unknown, or not what it must be.
    """

    name: str
    """Name of the file."""
    urls: tuple[str, ...]
    """Addresses that give it by plain HTTPS, tried in their order."""
    size: int
    """Bytes, as published: to see beforehand whether it fits on the disk. Rounded up where only that is known."""
    md5: str = ""
    """MD5 of the content, 32 hex digits, where it is published."""
    hub: str = ""
    """Data set repository on the Hub that has the file at its top, ``owner/name``; tried first."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        require_texts(self, "name")
        require(self, isinstance(self.urls, tuple), f"urls must be a tuple of texts, it is {self.urls!r}")


@checked
@dataclass(frozen=True)
class Archive:
    """Files that a data set is read from, which a user has or mmeval may download.

    Raises:
        SpecError: a field is missing, unknown, or not what it must be.
    """

    open: Callable[[Path, str], Source]
    """(file or folder, variant) -> source. Raises a ``DataError`` where it is not what it must be."""
    get: str
    """Which files there are, from where, and what to do with them: whole sentences, for who has none."""
    downloads: Mapping[str, Download] = field(default_factory=dict)
    """By variant, ``""`` for the default: what ``mmeval data prepare`` may fetch. Only where the licence allows."""
    lacks: Callable[[Source], str] | None = None
    """What an opened source lacks of the release (``FOLDER lacks FILE``), empty if nothing.

    Not asked with ``--allow-mismatch``, which takes what is there.
    """

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        require_callable(self, "open")
        require_texts(self, "get")
        if self.lacks is not None:
            require_callable(self, "lacks")


@checked
@dataclass(frozen=True)
class DatasetSpec:
    """A data set plugin.

    Raises:
        SpecError: a field is missing, unknown, or not what it must be.
    """

    name: str
    """What a user types after ``--dataset``; the same as the entry point's name."""
    summary: str
    """One line."""
    card: Path | None
    """The data card (Markdown with a YAML header); None where nothing is known beforehand."""
    source: Callable[[], Source] | None = None
    """Open the source, of a data set that packages hold; raises a ``UserError`` where something is missing."""
    archive: Archive | None = None
    """The files, of a data set that is read from files. Either this or ``source``."""
    variants: Mapping[str, str] = field(default_factory=dict)
    """Other forms of a data set with an ``archive`` (texts, label sets): what it is by what a user types after
    ``NAME:``. They share the images."""
    default_variant: str = ""
    """What its default form is called, if people call it something: ``NAME:title`` is then ``NAME``."""
    credit: str = ""
    """What the licence asks to be said beside images or texts that are shown."""
    distribution: str = ""
    """Package and version that it came from; set by mmeval."""
    code: str = ""
    """Digest of the text of a one-file plugin, part of the Store's identity; set by mmeval."""
    variant: str = ""
    """The variant that was asked for; set by mmeval."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        require_name(self)
        require_texts(self, "summary")
        is_path = self.card is None or isinstance(self.card, Path)
        require(self, is_path, f"card must be a pathlib.Path, it is {self.card!r}")
        one = (self.source is None) != (self.archive is None)
        require(self, one, "it must have a source or an archive, and not both")
        if self.source is not None:
            require_callable(self, "source")
        is_archive = self.archive is None or isinstance(self.archive, Archive)
        require(self, is_archive, f"archive must be a mmeval.Archive, it is {self.archive!r}")
        named = isinstance(self.variants, Mapping) and all(isinstance(name, str) for name in self.variants)
        require(self, named, f"variants must be a mapping of texts, it is {self.variants!r}")
        for name in ("credit", "default_variant"):
            require(self, isinstance(getattr(self, name), str), f"{name} must be a text, it is {getattr(self, name)!r}")

    @property
    def full_name(self) -> str:
        """Name, and variant if it is not the default one: ``food101:title-masked``."""
        return f"{self.name}:{self.variant}" if self.variant else self.name


@checked
@dataclass(frozen=True)
class MetricSpec:
    """A metric that is a mean over examples, so that it has an interval and a row per language like any other.

    Raises:
        SpecError: a field is missing, unknown, or not what it must be.
    """

    name: str
    """The name in Scores; of a metric with its own entry point, what a user types after ``--metric``."""
    summary: str
    """One line."""
    per_example: Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.float64]]
    """(labels ``[n]``, probabilities ``[n, classes]``) -> value of each example ``[n]``."""
    higher_is_better: bool = True
    """Which end of the languages is the worst one."""
    distribution: str = ""
    """Package and version that it came from; set by mmeval."""
    code: str = ""
    """Digest of the text of a one-file plugin, for the record; set by mmeval."""

    @property
    def origin(self) -> str:
        """Package and version, or file and digest: another origin may give other values."""
        return f"{self.distribution}+{self.code}" if self.code else self.distribution

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        require_name(self)
        require_texts(self, "summary")
        require_callable(self, "per_example")
