"""Zero-shot CLIP (Radford et al. 2021, arXiv 2103.00020, section 3.1): the class with the nearest prompts."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmeval import Examples, FitContext, ModelContext, ModelSize, UserError, embed_images, embed_texts
from mmeval.nn import image_encoder, text_encoder
from mmeval_clip.config import ClipConfig
from mmeval_clip.prompts import Sentences, prompt_language, sentences

FILE = "prompts.json"
USUAL_SCALE = 100.0
"""The limit of CLIP's logit scale, which it reaches in training (section 2.5)."""
FLOOR = 1e-12

Floats = NDArray[np.float32]
Key = TypeVar("Key", bound=Hashable)


class ZeroShot:
    """The zero-shot classifier: a plain model without ``fit``. Embeddings of images, texts and prompts are cached."""

    def __init__(self, config: ClipConfig, context: ModelContext) -> None:
        """Load the towers, to check that they have a joint space and to read their scale.

        Raises:
            UserError: their widths differ, their weights are not available, or a task is multi-label.
        """
        self.config, self.context = config, context
        for task in sorted(context.multilabel):
            raise UserError(
                f"mode=zero-shot ranks the classes of an example, but gives no probability of each class of {task}, a "
                "multi-label task; set mode=linear."
            )
        image, text = (
            image_encoder(config.image_encoder, frozen=True),
            text_encoder(config.text_encoder, frozen=True),
        )
        require_joint(config, image.width, text.width, "mode=zero-shot")
        self.prompt_parameters = require_prompts(config, image.width)
        self.width = image.width
        self.scale = scale_of(config, image, text)
        self.prompts: Sentences = sentences(config, context)

    def predict(self, examples: Examples, context: FitContext) -> Iterator[Mapping[str, Floats]]:
        """Yield blocks of probabilities ``{task: [n, classes]}``."""
        known = next(iter(self.prompts.values()))  # every task has the same languages
        languages = sorted({prompt_language(known, language) for language in set(examples.languages)})
        ensembles = {(task, language): own[language] for task, own in self.prompts.items() for language in languages}
        images = embed_images(examples, self.config.image_encoder, context.device)  # [n, D], zeros without an image
        classes, texts = self._embedded(ensembles, examples.texts, context.device)
        step = self.config.recipe.batch_size * 4
        for start in range(0, len(examples), step):
            rows = slice(start, start + step)
            query = fused(images[rows], texts[rows], self.config.fusion)  # [b, D]
            yield {task: self._probabilities(task, query, examples.languages[rows], classes) for task in self.prompts}

    def embed(self, examples: Examples, context: FitContext) -> Iterator[Floats]:
        """Yield blocks of the fused unit vectors ``[n, D]`` that are compared with the classes."""
        images = embed_images(examples, self.config.image_encoder, context.device)
        texts = embed_texts(examples.texts, self.config.text_encoder, context.device)
        yield fused(images, texts, self.config.fusion)

    def _embedded(
        self, ensembles: Mapping[tuple[str, str], Sequence[Sequence[str]]], texts: Sequence[str], device: str
    ) -> tuple[dict[tuple[str, str], Floats], Floats]:
        """Return class vectors by key and the embeddings of ``texts``; a tower that embeds both is loaded once."""
        own, prompts = self.config.text_encoder, prompt_encoder(self.config)
        if prompts == own:
            return class_vectors(ensembles, own, device, texts)
        classes, _ = class_vectors(ensembles, prompts, device)
        return classes, embed_texts(texts, own, device)

    def _probabilities(
        self, task: str, query: Floats, languages: Sequence[str], classes: Mapping[tuple[str, str], Floats]
    ) -> Floats:
        """Return the softmax of scaled cosines, ``[b, classes]``; the class prior for examples without any input."""
        counts = np.asarray(self.context.class_counts[task], np.float32)
        shares = np.maximum(counts, 1e-6) / max(counts.sum(), 1)
        out = np.empty((len(query), len(counts)), np.float32)
        prompted = np.array([prompt_language(self.prompts[task], language) for language in languages])
        for language in np.unique(prompted):
            here = prompted == language
            out[here] = softmax(self.scale * query[here] @ classes[task, str(language)].T)
        out[~query.any(1)] = shares / shares.sum()
        return out

    def size(self) -> ModelSize:
        """Return the towers, and the operations of the cosines with the classes; nothing is trained."""
        classes = sum(len(task.classes) for task in self.context.tasks)
        return ModelSize(
            trained=0,
            fixed=self.prompt_parameters,
            flops=2.0 * classes * self.width,
            image_encoder=self.config.image_encoder,
            text_encoder=self.config.text_encoder,
        )

    def save(self, folder: Path) -> None:
        """Write the prompts; the towers are loaded again by name."""
        (folder / FILE).write_text(json.dumps(self.prompts, ensure_ascii=False, indent=1), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read the saved prompts, which may differ from the templates of this version."""
        self.prompts = json.loads((folder / FILE).read_text(encoding="utf-8"))


def class_vectors(
    ensembles: Mapping[Key, Sequence[Sequence[str]]], encoder: str, device: str = "cpu", texts: Sequence[str] = ()
) -> tuple[dict[Key, Floats], Floats]:
    """Return unit vectors ``[C, D]`` of the classes by key, and the raw embeddings of ``texts``.

    The vector of a class is the mean of the unit vectors of its prompts, normalised again. One call embeds all texts,
    so that the tower is loaded once.
    """
    flat = [sentence for classes in ensembles.values() for prompts in classes for sentence in prompts]
    embedded = embed_texts([*flat, *texts], encoder, device)
    vectors, by_key, start = unit(embedded[: len(flat)]), {}, 0
    for key, classes in ensembles.items():
        means = []
        for prompts in classes:
            means.append(vectors[start : start + len(prompts)].mean(0))
            start += len(prompts)
        by_key[key] = unit(np.stack(means))
    return by_key, embedded[len(flat) :]


def fused(images: Floats, texts: Floats, fusion: str) -> Floats:
    """Fuse embeddings ``[n, D]`` of image and text, zero if missing, into unit vectors, zero if both are missing.

    ``sum`` adds them without normalising them first, so the longer one has more weight.
    """
    return unit(images + texts) if fusion == "sum" else unit(unit(images) + unit(texts))


def unit(x: Floats) -> Floats:
    """Normalise rows to length 1; zero rows stay zero."""
    scaled: Floats = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), FLOOR)
    return scaled


def softmax(logits: Floats) -> Floats:
    """Return the softmax over the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    shares: Floats = e / e.sum(-1, keepdims=True)
    return shares


def require_joint(config: ClipConfig, image: int, text: int, option: str) -> None:
    """Check that the image and the text tower have embeddings of the same width, as a joint space needs.

    Args:
        config: names the encoders in the message.
        image: the width of the image tower's embeddings.
        text: the width of the text tower's embeddings.
        option: the option that needs a joint space, for the message.

    Raises:
        UserError: the widths differ.
    """
    if image != text:
        raise UserError(
            f"{option} needs two towers with a joint space; {config.image_encoder} has {image} features, "
            f"{config.text_encoder} has {text}."
        )


def prompt_encoder(config: ClipConfig) -> str:
    """Return the name of the text tower that embeds the class prompts."""
    return config.prompt_encoder or config.text_encoder


def require_prompts(config: ClipConfig, width: int) -> int:
    """Check that the tower of the prompts shares the joint space of ``width`` features.

    Returns:
        The number of parameters of that tower; 0 if it is the tower of the texts.

    Raises:
        UserError: its embeddings differ in width, or its weights are not available.
    """
    if prompt_encoder(config) == config.text_encoder:
        return 0
    tower = text_encoder(config.prompt_encoder, frozen=True)
    if tower.width != width:
        raise UserError(
            f"prompt_encoder needs a tower with the joint space of {config.image_encoder}, which has {width} features; "
            f"{config.prompt_encoder} has {tower.width}."
        )
    return sum(parameter.numel() for parameter in tower.parameters())


def scale_of(config: ClipConfig, *towers: object) -> float:
    """Return the factor on the cosines: from the config, else from the first tower that has one, else 100."""
    own = [float(tower.logit_scale) for tower in towers if getattr(tower, "logit_scale", None) is not None]  # type: ignore[attr-defined]
    return config.logit_scale or (own[0] if own else USUAL_SCALE)
