"""What model plugins are built from: encoders, heads, and the torch level of a model."""

from mmeval.nn.build import bert, image_encoder, random_weights, text_encoder
from mmeval.nn.encoder import Encoded, Encoder, ImageEncoder, ImageInput, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.ensemble import EnsembleHeads, average_log_probabilities, member_losses
from mmeval.nn.heads import ClassPrior, Heads
from mmeval.nn.modality_dropout import drop_modality
from mmeval.nn.model import Output, TorchModel
from mmeval.nn.nested_tasks import NestedTasks
from mmeval.nn.random import uniform
from mmeval.nn.standardize import RunningStandardizer
from mmeval.nn.tuning import tuned

__all__ = [
    "BertEncoder",
    "ClassPrior",
    "Encoded",
    "Encoder",
    "EnsembleHeads",
    "Heads",
    "ImageEncoder",
    "ImageInput",
    "NestedTasks",
    "Output",
    "RunningStandardizer",
    "TextEncoder",
    "TextInput",
    "TorchModel",
    "average_log_probabilities",
    "bert",
    "drop_modality",
    "image_encoder",
    "member_losses",
    "random_weights",
    "text_encoder",
    "tuned",
    "uniform",
]
