"""Terms of texts: what they weigh, what is kept of them, and what is refused."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from treadle.errors import TreadleError
from treadle.experiment.spec import Features
from treadle.features.featurizer import Featurizer
from treadle.features.texts import WORD, TfIdf

TARGETS = ["treadle.features."]
TERMS = {"_target_": "treadle.features.texts.TfIdf", "max_terms": 50, "min_count": 1, "max_words": 2}
SVD = {"_target_": "treadle.features.transforms.TruncatedSvd", "num_components": 2}
TEXTS = [
    "A red dress, and a red hat",
    "the dress isn't red",
    "blau wie das Meer",
    None,
    "das MEER!",
    "…",
    "the hat; the hat",
]
FRAME = pl.DataFrame({"review": TEXTS, "title": ["good", "bad", None, "good", "so so", "bad", "good"]})


def make(steps):
    spec = {"words": {"columns": ["title", "review"], "steps": steps}, "age": {"columns": ["age"], "steps": {}}}
    return Featurizer(Features.model_validate({"blocks": spec}), targets=TARGETS)


@pytest.fixture
def frame():
    return FRAME.with_columns(age=pl.Series(range(len(FRAME)), dtype=pl.Int64))


def test_weights_are_those_of_scikit_learn():
    ours = TfIdf(columns=["review"], max_terms=1000, min_count=2, max_words=3)
    theirs = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    wanted = theirs.fit_transform([text or "" for text in TEXTS]).toarray()

    ours.fit(FRAME)

    order = [list(ours.terms["review"]).index(term) for term in theirs.get_feature_names_out()]
    assert len(order) == len(ours.outputs)
    np.testing.assert_allclose(ours.vectorize(FRAME).numpy()[:, order], wanted, rtol=1e-12, atol=0)


def test_the_most_frequent_terms_are_kept_and_ties_are_in_alphabetical_order():
    terms = TfIdf(columns=["review"], max_terms=5, min_count=2, max_words=1)

    terms.fit(FRAME)

    assert terms.terms == {"review": {"das": 2, "dress": 2, "hat": 2, "meer": 2, "red": 2}}
    assert terms.vectorize(FRAME).ne(0).sum(dim=1).tolist() == [3, 2, 2, 0, 2, 0, 1]


def test_a_row_alone_gets_what_it_gets_among_others():
    terms = TfIdf(columns=["title", "review"], max_terms=9, min_count=1, max_words=2)
    terms.fit(FRAME)

    alone = torch.cat([terms.vectorize(FRAME[place]) for place in range(len(FRAME))])

    assert torch.equal(alone, terms.vectorize(FRAME))
    assert terms.vectorize(FRAME.clear()).shape == (0, len(terms.outputs))


@pytest.mark.parametrize("steps", [{"terms": TERMS}, {"terms": TERMS, "svd": SVD}], ids=["terms", "components"])
def test_the_bundle_gives_what_fitting_gave(frame, steps, tmp_path):
    made = make(steps)
    fitted = made.fit(frame)
    made.save(tmp_path)

    loaded = Featurizer.load(tmp_path, spec=made.spec, targets=TARGETS)

    assert torch.equal(loaded(frame).numeric, fitted.numeric)
    assert loaded.numeric_names == made.numeric_names
    assert len(loaded.numeric_names) == fitted.numeric.shape[1]
    assert set(loaded.numeric_columns[:-1]) <= {"title", "review"}
    assert loaded.numeric_columns[-1] == "age"


def test_components_are_those_of_a_singular_value_decomposition(frame):
    values = make({"terms": TERMS}).fit(frame).numeric[:, :-1].double()

    components = make({"terms": TERMS, "svd": SVD}).fit(frame).numeric[:, :-1].double()

    _, sizes, directions = torch.linalg.svd(values, full_matrices=False)
    wanted = values @ directions[:2].T / sizes[:2] * len(values) ** 0.5
    torch.testing.assert_close(components.abs(), wanted.abs(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_rows": 7.5}, "num_rows must be a whole number, found 7.5"),
        ({"terms": {"other": {"a": 1}}}, r"terms must be listed for \['review'\]"),
        ({"terms": {"review": {}}}, "the terms of 'review' must be from 1 to 9"),
        ({"terms": {"review": {"a": 8}}}, "the terms of 'review' must each be in 1 to 7 rows"),
        ({"more": 1}, "and nothing else"),
    ],
)
def test_a_state_that_no_training_learns_is_refused(change, message):
    terms = TfIdf(columns=["review"], max_terms=9, min_count=1, max_words=1)
    terms.fit(FRAME)

    with pytest.raises(TreadleError, match=message):
        terms.set_state({**terms.get_state(), **change})


def test_a_column_without_a_frequent_word_is_named(frame):
    with pytest.raises(
        TreadleError, match=r"features\.blocks\.words\.steps\.terms: no word of the column 'title' is in 9"
    ):
        make({"terms": {**TERMS, "min_count": 9}}).fit(frame)


def test_numbers_are_no_texts(frame):
    spec = {"words": {"columns": ["age"], "steps": {"terms": TERMS}}}

    with pytest.raises(TreadleError, match="'age' is of type Int64, not a text"):
        Featurizer(Features.model_validate({"blocks": spec}), targets=TARGETS).fit(frame)


def test_nothing_but_zeros_has_no_direction():
    zeros = {"numbers": {"columns": ["a", "b"], "steps": {"svd": SVD}}}
    featurizer = Featurizer(Features.model_validate({"blocks": zeros}), targets=TARGETS)

    with pytest.raises(TreadleError, match="TruncatedSvd needs directions of its inputs, and all values are 0"):
        featurizer.fit(pl.DataFrame({"a": [0, 0], "b": [0, 0]}))
