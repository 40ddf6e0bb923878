"""Building blocks of model plugins: encoders, heads, single-stream and pre-training parts, and the torch model."""

from mmeval.nn.build import bert, image_encoder, random_weights, text_encoder
from mmeval.nn.dropout import FeatureDropout
from mmeval.nn.encoder import Encoded, Encoder, ImageEncoder, ImageInput, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.heads import ClassPrior, Heads
from mmeval.nn.model import Output, TorchModel
from mmeval.nn.pretraining import (
    WordHead,
    corrupt_words,
    masked_cross_entropy,
    masked_mean,
    masked_word_loss,
    swap_images,
)
from mmeval.nn.random import uniform
from mmeval.nn.single_stream import FirstPass, ProjectedText, SingleStream, replace_words
from mmeval.nn.tuning import tuned

__all__ = [
    "BertEncoder",
    "ClassPrior",
    "Encoded",
    "Encoder",
    "FeatureDropout",
    "FirstPass",
    "Heads",
    "ImageEncoder",
    "ImageInput",
    "Output",
    "ProjectedText",
    "SingleStream",
    "TextEncoder",
    "TextInput",
    "TorchModel",
    "WordHead",
    "bert",
    "corrupt_words",
    "image_encoder",
    "masked_cross_entropy",
    "masked_mean",
    "masked_word_loss",
    "random_weights",
    "replace_words",
    "swap_images",
    "text_encoder",
    "tuned",
    "uniform",
]
