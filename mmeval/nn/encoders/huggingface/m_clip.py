"""M-CLIP's text towers (Carlsson et al. 2022, LREC): many languages, taught to be where CLIP puts the English text.

The package that publishes them doesn't run with today's ``transformers``. Its format is simple: ``config.json`` names
the base model, and ``pytorch_model.bin`` has its weights (``transformer.*``) and those of one linear layer
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
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.weights import Source, fetching, source

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
    "vocab.txt",
)
BASE, LINEAR = "transformer.", "LinearTransformation."
HEAD = 64
"""Width of an attention head in XLM-R and BERT, base and large."""
SMALLEST = 3


def text(named: Named, frozen: bool) -> TextEncoder:  # noqa: ARG001 - made alike either way
    """``m-clip:OWNER/NAME`` or a folder (``m-clip:./PATH``), with the options ``length`` and ``weights``.

    ``length`` is 512 unless it is given: M-CLIP cuts nothing.
    """
    pretrained.transformers(f"The text encoder {named.full}")
    found = _source(named)
    base, projection, tokenizer = _drawn(found) if found.random else _read(found)
    length = named.number("length", base.config.max_position_embeddings - base.first_position, 512)
    if length < SMALLEST:
        raise UserError(f'"{named.full}": length={length} leaves no room for a text.')
    read = TextInput(length, type(tokenizer).__name__)
    encoder = MClipText(named.full, base.model, projection, PublishedTokenizer(tokenizer, length), read)
    encoder.published = found.published
    return encoder


class MClipText(HubText):
    """A BERT or XLM-R, its states brought into CLIP's space by one linear layer; ``pooled`` is their mean.

    M-CLIP takes the mean first, which for a linear layer is the same. Nothing is normalised.
    """

    def __init__(
        self, name: str, model: nn.Module, projection: nn.Linear, tokenizer: PublishedTokenizer, read: TextInput
    ) -> None:
        """``projection``: hidden width -> width of CLIP's space, with bias."""
        super().__init__(name, model, tokenizer, read)
        self.projection, self.width = projection, projection.out_features

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> projected states ``[B, T, D]``; ``pooled`` is their mean over the mask."""
        encoded = super().encode(ids, mask)
        return Encoded(self.projection(encoded.tokens), mask, self.projection(encoded.pooled))


class _Base:
    """A base model with its weights, newly drawn without a ``state``, and from where on it counts positions."""

    def __init__(self, config: Any, state: Mapping[str, Tensor] | None) -> None:  # noqa: ANN401 - transformers' own
        import transformers

        kind = transformers.XLMRobertaModel if config.model_type == "xlm-roberta" else transformers.BertModel
        self.config, self.model = config, kind(config, add_pooling_layer=False)
        if state is not None:
            wanted = self.model.state_dict()
            # Its pooler isn't used, and older versions saved the numbers of positions too.
            self.model.load_state_dict({name: value for name, value in state.items() if name in wanted})
        self.model.eval()  # type: ignore[no-untyped-call]
        self.first_position = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0


def _source(named: Named) -> Source:
    if named.rest.startswith((".", "/", "~")):
        named.only("length")
        folder = Path(named.rest).expanduser()
        if not folder.is_dir():
            raise UserError(f'"{named.full}": there is no folder {folder}.')
        return Source(named.full, str(folder), None, local=True, random=False)
    found = source(named, "length")
    if found.random and found.where not in M_CLIP:
        raise UserError(
            f'"{named.full}": its sizes are not known without its weights; those of {", ".join(M_CLIP)} are.'
        )
    return found


def _drawn(found: Source) -> tuple[_Base, nn.Linear, Any]:
    """Base model, linear layer and a stand-in for the tokenizer, of the published sizes."""
    architecture, width = M_CLIP[found.where]
    base = _Base(architecture.config(), None)
    tokenizer = stand_in.tokenizer(architecture.words, architecture.vocabulary)
    return base, nn.Linear(base.config.hidden_size, width), tokenizer


def _read(found: Source) -> tuple[_Base, nn.Linear, Any]:
    """The same as published.

    Raises:
        MissingWeightsError: they can't be had, or aren't those of M-CLIP.
    """
    folder = _folder(found)
    base, projection = _built(found, folder)
    return base, projection, _tokenizer(found, folder, base.config.model_type)


def _folder(found: Source) -> Path:
    """Where the files are, fetched if need be.

    Raises:
        MissingWeightsError: they can't be had.
    """
    if found.local:
        return Path(found.where)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = [CONFIG, WEIGHTS, *TOKENIZER]
    with fetching(found):
        try:
            here = Path(snapshot_download(found.where, revision=found.revision, local_files_only=True))
        except LocalEntryNotFoundError:
            here = Path()
        if not (here / WEIGHTS).is_file():
            here = Path(snapshot_download(found.where, revision=found.revision, allow_patterns=wanted))
    return here


def _built(found: Source, folder: Path) -> tuple[_Base, nn.Linear]:
    """Base model and linear layer, their sizes as the weights have them.

    Raises:
        MissingWeightsError: the folder doesn't hold what M-CLIP publishes.
    """
    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
        base = {name.removeprefix(BASE): value.float() for name, value in state.items() if name.startswith(BASE)}
        linear = {name.removeprefix(LINEAR): value.float() for name, value in state.items() if name.startswith(LINEAR)}
        made = _Base(_configuration(str(said["modelBase"]), base), base)
        projection = nn.Linear(linear["weight"].shape[1], linear["weight"].shape[0])
        projection.load_state_dict(linear)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = f"{found.where} does not hold what M-CLIP publishes ({type(error).__name__}: {error})."
        raise MissingWeightsError(found.name, " ".join(reason.split())[:300]) from error
    return made, projection


def _configuration(base: str, state: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    """Sizes by the shapes of the weights, the rest as XLM-R and BERT have it: no other repository is asked."""
    import transformers

    words, width = state["embeddings.word_embeddings.weight"].shape
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layer.")}
    sizes: dict[str, Any] = {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, width // HEAD),
        "intermediate_size": len(state["encoder.layer.0.intermediate.dense.weight"]),
        "max_position_embeddings": len(state["embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(state["embeddings.token_type_embeddings.weight"]),
    }
    if "xlm" in base.lower():
        # XLM-R's own; the class's defaults are another model's.
        return transformers.XLMRobertaConfig(**sizes, layer_norm_eps=1e-5, pad_token_id=1)
    return transformers.BertConfig(**sizes, layer_norm_eps=1e-12, pad_token_id=0)


def _tokenizer(found: Source, folder: Path, kind: str) -> Any:  # noqa: ANN401
    import transformers

    made = transformers.XLMRobertaTokenizer if kind == "xlm-roberta" else transformers.BertTokenizer
    with fetching(found._replace(local=True, where=str(folder))):
        try:
            return made.from_pretrained(folder)
        except (ValueError, ImportError) as error:
            raise UserError(f'"{found.name}": it comes without a tokenizer that transformers can read.') from error
