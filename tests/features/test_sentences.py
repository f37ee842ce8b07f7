"""Vectors of a frozen encoder: of the texts alone, from the very model that the run was composed with."""

import numpy as np
import polars as pl
import pytest
import torch

from treadle.errors import TreadleError
from treadle.experiment.model_folders import digest_folder
from treadle.features.sentences import SentenceEncoder

pytest.importorskip("sentence_transformers")

FRAME = pl.DataFrame({"review": ["red dress", None, "blue hat", "red dress"], "title": ["hat", "red", None, "blue"]})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of a few kilobytes, in the form in which the library's own are published."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: place for place, word in enumerate(["[UNK]", "red", "blue", "dress", "hat"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106 - a word
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(words), 3)).astype(np.float32)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(str(folder))
    return folder


def make(model, *, columns=("title", "review"), revision=None):
    encoder = SentenceEncoder(columns=columns, model=str(model), revision=revision, batch_size=2)
    encoder.fit(FRAME)
    return encoder


def test_each_text_has_its_vector_and_a_missing_one_zeros(model):
    encoder = make(model)

    vectors = encoder.vectorize(FRAME)

    assert vectors.shape == (4, 6)
    assert encoder.outputs[2:4] == ["title: 3", "review: 1"]
    assert encoder.origins == [0, 0, 0, 1, 1, 1]
    assert torch.equal(vectors[0, 3:], vectors[3, 3:])
    torch.testing.assert_close(vectors[:, 3:].norm(dim=1), torch.tensor([1.0, 0, 1, 1]).double(), atol=1e-6, rtol=0)
    assert not torch.allclose(vectors[0, 3:], vectors[2, 3:])


def test_it_is_restored_from_its_state(model):
    encoder = make(model)
    other = SentenceEncoder(columns=["title", "review"], model=str(model), revision=digest_folder(model), batch_size=9)

    other.set_state(encoder.get_state())

    torch.testing.assert_close(other.vectorize(FRAME), encoder.vectorize(FRAME))
    assert other.vectorize(FRAME.clear()).shape == (0, 6)


def test_another_model_in_the_same_place_is_refused(model):
    with pytest.raises(TreadleError, match="is another one: its files have the digest"):
        make(model, revision="0" * 16)


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TreadleError, match="no model"):
        SentenceEncoder(columns=["review"], model=str(tmp_path / "none"), revision=None, batch_size=2).fit(FRAME)


@pytest.mark.parametrize("state", [{}, {"dim": 0}, {"dim": 3, "more": 1}])
def test_a_state_without_a_dimension_is_refused(model, state):
    with pytest.raises(TreadleError, match="must hold the dimension"):
        SentenceEncoder(columns=["review"], model=str(model), revision=None, batch_size=2).set_state(state)
