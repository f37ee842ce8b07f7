"""The bundle: rows in, predictions out; with features, weights, schema and experiment, in memory and on disk."""

from treadle.bundle.blend import BlendBundle, mix
from treadle.bundle.breaches import BreachError, BreachWarning
from treadle.bundle.bundle import CHUNK, Bundle
from treadle.bundle.card import Card, Recipe, Standard
from treadle.bundle.code import fingerprint_code
from treadle.bundle.judged import load_judged
from treadle.bundle.model import TARGETS, build_model, take_point, to_prediction
from treadle.bundle.predictor import Predictor
from treadle.bundle.raw import compute_raw, predict_split
from treadle.bundle.rows import read_rows, write_rows
from treadle.bundle.store import load, save

__all__ = [
    "CHUNK",
    "TARGETS",
    "BlendBundle",
    "BreachError",
    "BreachWarning",
    "Bundle",
    "Card",
    "Predictor",
    "Recipe",
    "Standard",
    "build_model",
    "compute_raw",
    "fingerprint_code",
    "load",
    "load_judged",
    "mix",
    "predict_split",
    "read_rows",
    "save",
    "take_point",
    "to_prediction",
    "write_rows",
]
