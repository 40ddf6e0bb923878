"""Building blocks of model plugins: encoders, heads, single-stream and pre-training parts, and the torch model."""

from mmeval.nn.build import bert, image_encoder, random_weights, text_encoder
from mmeval.nn.dropout import FeatureDropout
from mmeval.nn.encoder import Encoded, Encoder, ImageEncoder, ImageInput, TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.ensemble import EnsembleHeads, average_log_probabilities, ensemble_output, member_losses
from mmeval.nn.heads import ClassPrior, Heads, classification_loss
from mmeval.nn.modality_dropout import drop_modality
from mmeval.nn.model import Output, TorchModel
from mmeval.nn.nested_tasks import NestedTasks
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
from mmeval.nn.standardize import RunningStandardizer
from mmeval.nn.tuning import tuned

__all__ = [
    "BertEncoder",
    "ClassPrior",
    "Encoded",
    "Encoder",
    "EnsembleHeads",
    "FeatureDropout",
    "FirstPass",
    "Heads",
    "ImageEncoder",
    "ImageInput",
    "NestedTasks",
    "Output",
    "ProjectedText",
    "RunningStandardizer",
    "SingleStream",
    "TextEncoder",
    "TextInput",
    "TorchModel",
    "WordHead",
    "average_log_probabilities",
    "bert",
    "classification_loss",
    "corrupt_words",
    "drop_modality",
    "ensemble_output",
    "image_encoder",
    "masked_cross_entropy",
    "masked_mean",
    "masked_word_loss",
    "member_losses",
    "random_weights",
    "replace_words",
    "swap_images",
    "text_encoder",
    "tuned",
    "uniform",
]
