"""M-CLIP's multilingual text towers (Carlsson et al. 2022, LREC), trained to match CLIP's embedding of English.

The package that publishes them does not run with current ``transformers``, so this module reads its format:
``config.json`` names the base model, and ``pytorch_model.bin`` has its weights (``transformer.*``) and a linear layer
(``LinearTransformation.*``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmeval.errors import MissingWeightsError, UserError
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import M_CLIP
from mmeval.nn.encoders.huggingface import pretrained
from mmeval.nn.encoders.huggingface.text import HubText
from mmeval.nn.encoders.huggingface.tokenizer import PublishedTokenizer
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.weights import WeightsSource, fetching, weights_source

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
    "vocab.txt",
)
BASE, LINEAR = "transformer.", "LinearTransformation."
HEAD_WIDTH = 64
"""Width of an attention head in XLM-R and BERT, base and large."""
SHORTEST = 3
"""Tokens at least: a text stands between two special tokens."""


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:  # noqa: ARG001 - built alike either way
    """Build ``m-clip:OWNER/NAME``, or ``m-clip:./PATH`` of a folder, with the options ``length`` and ``weights``.

    ``length`` is 512 by default, because M-CLIP does not truncate texts.
    """
    pretrained.transformers(f"The text encoder {name.full}")
    source = _source(name)
    base, projection, tokenizer = _build_random(source) if source.random else _load(source)
    length = name.integer("length", base.config.max_position_embeddings - base.first_position, 512)
    if length < SHORTEST:
        raise UserError(f'"{name.full}": length={length} leaves no room for a text.')
    read = TextInput(length, type(tokenizer).__name__)
    encoder = MClipText(name.full, base.model, projection, PublishedTokenizer(tokenizer, length), read)
    encoder.published = source.published
    return encoder


class MClipText(HubText):
    """A BERT or XLM-R whose states a linear layer projects into CLIP's space; ``pooled`` is their mean.

    M-CLIP takes the mean first, which is equivalent because the layer is linear. Nothing is normalised to length 1.
    """

    def __init__(
        self, name: str, model: nn.Module, projection: nn.Linear, tokenizer: PublishedTokenizer, read: TextInput
    ) -> None:
        """``projection`` maps the hidden width to the width of CLIP's space."""
        super().__init__(name, model, tokenizer, read)
        self.projection, self.width = projection, projection.out_features

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids into projected states ``[B, T, D]``; ``pooled`` is their mean over the mask."""
        encoded = super().encode(ids, mask)
        return Encoded(self.projection(encoded.tokens), mask, self.projection(encoded.pooled))


class _BaseModel:
    """The BERT or XLM-R of a config, with the weights of ``state`` or with random ones, and its first position."""

    def __init__(self, config: Any, state: Mapping[str, Tensor] | None) -> None:  # noqa: ANN401 - transformers' own
        import transformers

        model_class = transformers.XLMRobertaModel if config.model_type == "xlm-roberta" else transformers.BertModel
        self.config, self.model = config, model_class(config, add_pooling_layer=False)
        if state is not None:
            wanted = self.model.state_dict()
            # Checkpoints also hold the unused pooler and, from older versions, position ids.
            self.model.load_state_dict({name: value for name, value in state.items() if name in wanted})
        self.model.eval()  # type: ignore[no-untyped-call]
        self.first_position = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0


def _source(name: EncoderName) -> WeightsSource:
    if name.argument.startswith((".", "/", "~")):
        name.check_options("length")
        folder = Path(name.argument).expanduser()
        if not folder.is_dir():
            raise UserError(f'"{name.full}": there is no folder {folder}.')
        return WeightsSource(name.full, str(folder), None, local=True, random=False)
    source = weights_source(name, "length")
    if source.random and source.location not in M_CLIP:
        raise UserError(f'"{name.full}": weights=random is supported for {", ".join(M_CLIP)} only.')
    return source


def _build_random(source: WeightsSource) -> tuple[_BaseModel, nn.Linear, Any]:
    """Return base model and linear layer of the published sizes with random weights, and the stand-in tokenizer."""
    architecture, width = M_CLIP[source.location]
    base = _BaseModel(architecture.config(), None)
    tokenizer = stand_in.tokenizer(architecture.words, architecture.vocabulary)
    return base, nn.Linear(base.config.hidden_size, width), tokenizer


def _load(source: WeightsSource) -> tuple[_BaseModel, nn.Linear, Any]:
    """Return base model, linear layer and tokenizer as published.

    Raises:
        MissingWeightsError: they can't be loaded, or are not M-CLIP's.
    """
    folder = _folder(source)
    base, projection = _load_weights(source, folder)
    return base, projection, _load_tokenizer(source, folder, base.config.model_type)


def _folder(source: WeightsSource) -> Path:
    """Return the folder of the model's files, downloading them if necessary.

    Raises:
        MissingWeightsError: they can't be downloaded.
    """
    if source.local:
        return Path(source.location)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    files = [CONFIG, WEIGHTS, *TOKENIZER]
    with fetching(source):
        try:
            folder = Path(snapshot_download(source.location, revision=source.revision, local_files_only=True))
        except LocalEntryNotFoundError:
            folder = Path()
        if not (folder / WEIGHTS).is_file():
            folder = Path(snapshot_download(source.location, revision=source.revision, allow_patterns=files))
    return folder


def _load_weights(source: WeightsSource, folder: Path) -> tuple[_BaseModel, nn.Linear]:
    """Return base model and linear layer; their sizes follow from the shapes of the weights.

    Raises:
        MissingWeightsError: the folder does not hold the files that M-CLIP publishes.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
        base = {name.removeprefix(BASE): value.float() for name, value in state.items() if name.startswith(BASE)}
        linear = {name.removeprefix(LINEAR): value.float() for name, value in state.items() if name.startswith(LINEAR)}
        model = _BaseModel(_configuration(str(config["modelBase"]), base), base)
        projection = nn.Linear(linear["weight"].shape[1], linear["weight"].shape[0])
        projection.load_state_dict(linear)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = f"{source.location} does not hold the files that M-CLIP publishes ({type(error).__name__}: {error})."
        raise MissingWeightsError(source.name, " ".join(reason.split())[:300]) from error
    return model, projection


def _configuration(base: str, state: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    """Return a config with sizes from the weights and the rest as in XLM-R or BERT.

    The repository of the base model is not used.
    """
    import transformers

    words, width = state["embeddings.word_embeddings.weight"].shape
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layer.")}
    sizes: dict[str, Any] = {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "intermediate_size": len(state["encoder.layer.0.intermediate.dense.weight"]),
        "max_position_embeddings": len(state["embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(state["embeddings.token_type_embeddings.weight"]),
    }
    if "xlm" in base.lower():
        # XLM-R's values; the defaults of the config class differ.
        return transformers.XLMRobertaConfig(**sizes, layer_norm_eps=1e-5, pad_token_id=1)
    return transformers.BertConfig(**sizes, layer_norm_eps=1e-12, pad_token_id=0)


def _load_tokenizer(source: WeightsSource, folder: Path, kind: str) -> Any:  # noqa: ANN401
    import transformers

    tokenizer_class = transformers.XLMRobertaTokenizer if kind == "xlm-roberta" else transformers.BertTokenizer
    with fetching(source._replace(local=True, location=str(folder))):
        try:
            return tokenizer_class.from_pretrained(folder)
        except (ValueError, ImportError) as error:
            raise UserError(f'"{source.name}": it comes without a tokenizer that transformers can read.') from error
