"""What model plugins are built from: encoders, and the torch level of a model."""

from mmeval.nn.build import image_encoder, text_encoder
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput, TextEncoder
from mmeval.nn.model import Output, TorchModel

__all__ = [
    "Encoded",
    "ImageEncoder",
    "ImageInput",
    "Output",
    "TextEncoder",
    "TorchModel",
    "image_encoder",
    "text_encoder",
]
