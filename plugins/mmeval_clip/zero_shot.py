"""CLIP without training (Radford et al. 2021, arXiv 2103.00020, section 3.1): the nearest prompt is the class."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmeval import Examples, FitContext, ModelContext, UserError, embed_images, embed_texts
from mmeval.nn import image_encoder, text_encoder
from mmeval_clip.config import ClipConfig
from mmeval_clip.prompts import Sentences, sentences, spoken

FILE = "prompts.json"
USUAL_SCALE = 100.0
"""What CLIP's logit scale grows to in training, and is clipped at (section 2.5)."""
FLOOR = 1e-12

Floats = NDArray[np.float32]
Key = TypeVar("Key", bound=Hashable)


class ZeroShot:
    """A plain model without ``fit``. What the frozen towers make of images, texts and prompts is cached."""

    def __init__(self, config: ClipConfig, context: ModelContext) -> None:
        """Load the towers once, to see that they fit together and with what scale.

        Raises:
            UserError: their widths differ, so that they have no joint space; or they can't be had.
        """
        self.config, self.context = config, context
        image, text = (
            image_encoder(config.image_encoder, frozen=True),
            text_encoder(config.text_encoder, frozen=True),
        )
        require_joint(config, image.width, text.width, "mode=zero-shot")
        require_prompts(config, image.width)
        self.scale = scale_of(config, image, text)
        self.prompts: Sentences = sentences(config, context)

    def predict(self, examples: Examples, context: FitContext) -> Iterator[Mapping[str, Floats]]:
        """Yield blocks of probabilities."""
        known = next(iter(self.prompts.values()))  # every task has the same languages
        asked = sorted({spoken(known, language) for language in set(examples.languages)})
        ensembles = {(task, one): own[one] for task, own in self.prompts.items() for one in asked}
        images = embed_images(examples, self.config.image_encoder, context.device)  # [n, D], zeros where there is none
        classes, texts = self._embedded(ensembles, examples.texts, context.device)
        step = self.config.recipe.batch_size * 4
        for start in range(0, len(examples), step):
            rows = slice(start, start + step)
            query = fused(images[rows], texts[rows], self.config.fusion)  # [b, D]
            yield {task: self._probabilities(task, query, examples.languages[rows], classes) for task in self.prompts}

    def _embedded(
        self, ensembles: Mapping[tuple[str, str], Sequence[Sequence[str]]], texts: Sequence[str], device: str
    ) -> tuple[dict[tuple[str, str], Floats], Floats]:
        """Vectors of the classes under each key, and of ``texts``; a tower that makes both is loaded but once."""
        own, prompts = self.config.text_encoder, prompt_encoder(self.config)
        if prompts == own:
            return class_vectors(ensembles, own, device, texts)
        classes, _ = class_vectors(ensembles, prompts, device)
        return classes, embed_texts(texts, own, device)

    def _probabilities(
        self, task: str, query: Floats, languages: Sequence[str], classes: Mapping[tuple[str, str], Floats]
    ) -> Floats:
        """Softmax of scaled cosines ``[b, classes]``; the class shares of the training split where nothing is shown."""
        counts = np.asarray(self.context.class_counts[task], np.float32)
        shares = np.maximum(counts, 1e-6) / max(counts.sum(), 1)
        out = np.empty((len(query), len(counts)), np.float32)
        said = np.array([spoken(self.prompts[task], one) for one in languages])
        for language in np.unique(said):
            here = said == language
            out[here] = softmax(self.scale * query[here] @ classes[task, str(language)].T)
        out[~query.any(1)] = shares / shares.sum()
        return out

    def save(self, folder: Path) -> None:
        """Write the prompts: the towers are to be had by name."""
        (folder / FILE).write_text(json.dumps(self.prompts, ensure_ascii=False, indent=1), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Take back the prompts, whatever this version's templates are."""
        self.prompts = json.loads((folder / FILE).read_text(encoding="utf-8"))


def class_vectors(
    ensembles: Mapping[Key, Sequence[Sequence[str]]], encoder: str, device: str = "cpu", texts: Sequence[str] = ()
) -> tuple[dict[Key, Floats], Floats]:
    """Vectors of length 1 ``[C, D]`` of the classes under each key, and the embeddings of other ``texts`` as they are.

    A class is the mean of its prompts' vectors of length 1, normalised again. All is embedded in one call, which loads
    the tower but once.
    """
    flat = [sentence for classes in ensembles.values() for one in classes for sentence in one]
    embedded = embed_texts([*flat, *texts], encoder, device)
    vectors, found, at = unit(embedded[: len(flat)]), {}, 0
    for key, classes in ensembles.items():
        means = []
        for one in classes:
            means.append(vectors[at : at + len(one)].mean(0))
            at += len(one)
        found[key] = unit(np.stack(means))
    return found, embedded[len(flat) :]


def fused(images: Floats, texts: Floats, fusion: str) -> Floats:
    """Embeddings ``[n, D]`` of image and text, zeros where missing -> one of length 1, or zero if both are missing.

    ``sum`` adds them as they are: they aren't normalised first, so the longer one counts more.
    """
    return unit(images + texts) if fusion == "sum" else unit(unit(images) + unit(texts))


def unit(x: Floats) -> Floats:
    """Rows of length 1; zero stays zero."""
    scaled: Floats = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), FLOOR)
    return scaled


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    shares: Floats = e / e.sum(-1, keepdims=True)
    return shares


def require_joint(config: ClipConfig, image: int, text: int, what: str) -> None:
    """Refuse towers that share no space.

    Raises:
        UserError: their embeddings differ in width.
    """
    if image != text:
        raise UserError(
            f"{what} needs two towers of one joint space; {config.image_encoder} gives {image} numbers, "
            f"{config.text_encoder} {text}."
        )


def prompt_encoder(config: ClipConfig) -> str:
    """The name of the text tower that embeds the class prompts."""
    return config.prompt_encoder or config.text_encoder


def require_prompts(config: ClipConfig, width: int) -> None:
    """Refuse a tower for the prompts that doesn't share the joint space of ``width`` features.

    Raises:
        UserError: its embeddings differ in width; or it can't be had.
    """
    if prompt_encoder(config) == config.text_encoder:
        return
    own = text_encoder(config.prompt_encoder, frozen=True).width
    if own != width:
        raise UserError(
            f"prompt_encoder needs a tower of the joint space of {config.image_encoder}, which has {width} numbers; "
            f"{config.prompt_encoder} gives {own}."
        )


def scale_of(config: ClipConfig, *towers: object) -> float:
    """The factor on the cosines: the config's, else the first tower's that has one, else CLIP's usual one."""
    own = [float(tower.logit_scale) for tower in towers if getattr(tower, "logit_scale", None) is not None]  # type: ignore[attr-defined]
    return config.logit_scale or (own[0] if own else USUAL_SCALE)
