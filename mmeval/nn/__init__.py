"""What model plugins are built from: encoders, heads, and the torch level of a model."""

from mmeval.nn.build import bert, image_encoder, random_weights, text_encoder
from mmeval.nn.encoder import Encoded, Encoder, ImageEncoder, ImageInput, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.heads import ClassPrior, Heads
from mmeval.nn.model import Output, TorchModel
from mmeval.nn.random import uniform
from mmeval.nn.tuning import tuned

__all__ = [
    "BertEncoder",
    "ClassPrior",
    "Encoded",
    "Encoder",
    "Heads",
    "ImageEncoder",
    "ImageInput",
    "Output",
    "TextEncoder",
    "TextInput",
    "TorchModel",
    "bert",
    "image_encoder",
    "random_weights",
    "text_encoder",
    "tuned",
    "uniform",
]
