"""The alpha that a user asks for, from what there is, in the units of the trainer it goes to."""

from analysis.answer.alpha_answer import AlphaAnswer
from analysis.answer.conversion import Activations, convert, read_activations
from analysis.answer.prediction import predict

__all__ = ["Activations", "AlphaAnswer", "convert", "predict", "read_activations"]
