"""Tokens of texts: learned from training, the same from the bundle, and read by a network in front of another."""

import polars as pl
import pytest
import torch

from treadle.bundle import TARGETS, build_model
from treadle.errors import TreadleError
from treadle.experiment.spec import Features
from treadle.features.featurizer import Featurizer
from treadle.features.tokens import Tokens
from treadle.schema import TokenSpan

pytest.importorskip("tokenizers")

TOKENS = {"_target_": "treadle.features.tokens.Tokens", "vocabulary_size": 60, "length": 4}
WORDS = {"_target_": "treadle.features.categories.Vocabulary", "min_count": 1}
BLOCKS = {
    "kinds": {"columns": ["kind"], "steps": {"ids": WORDS}},
    "texts": {"columns": ["title", "review"], "steps": {"tokens": TOKENS}},
    "sizes": {"columns": ["size"], "steps": {}},
}
FRAME = pl.DataFrame(
    {
        "kind": ["a", "b", "a", "b"],
        "title": ["Red", None, "red dress", "blue"],
        "review": ["the red dress and the red hat", "the hat", None, "a blue, BLUE dress"],
        "size": [1.0, 2.0, 3.0, 4.0],
    }
)
NETWORK = {
    "_target_": "treadle.models.text_transformer.TextTransformer",
    "num_blocks": 1,
    "num_heads": 2,
    "head_dim": 4,
    "hidden_factor": 2,
    "dropout": 0.0,
    "member": {"_target_": "treadle.models.linear.Linear"},
}


@pytest.fixture
def featurizer():
    made = Featurizer(Features.model_validate({"blocks": BLOCKS}), targets=TARGETS)
    made.fit(FRAME)
    return made


def build(featurizer, **changes):
    torch.manual_seed(0)
    sizes = {"num_numeric": len(featurizer.numeric_names), "cardinalities": featurizer.cardinalities}
    network = build_model({**NETWORK, **changes}, targets=TARGETS, **sizes, num_classes=0, texts=featurizer.texts)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network.eval()


def test_tokens_stand_together_and_0_fills_up(featurizer):
    ids = featurizer(FRAME).ids

    assert featurizer.texts == [TokenSpan(1, 4, 1), TokenSpan(5, 4, 1)]  # of the second block
    assert ids.shape == (4, 9)
    assert featurizer.id_names[:3] == ["kind", "title: token 1", "title: token 2"]
    assert featurizer.id_columns == ["kind", *["title"] * 4, *["review"] * 4]
    assert ids[:, 1:].gt(0).sum(dim=1).tolist() == [1 + 4, 2, 2, 1 + 4]  # longer texts are cut
    assert ids[0, 1] == ids[2, 1] == ids[0, 6]  # "red", in whatever case and column


def test_the_bundle_gives_what_fitting_gave(featurizer, tmp_path):
    featurizer.save(tmp_path)

    loaded = Featurizer.load(tmp_path, spec=featurizer.spec, targets=TARGETS)

    assert torch.equal(loaded(FRAME).ids, featurizer(FRAME).ids)
    assert loaded.cardinalities == featurizer.cardinalities


def test_the_same_rows_teach_the_same_tokens():
    states = []
    for _ in range(2):
        tokens = Tokens(columns=["review"], vocabulary_size=40, length=4)
        tokens.fit(FRAME)
        states.append(tokens.get_state())

    assert states[0] == states[1]


def test_what_training_did_not_hold_is_unknown():
    tokens = Tokens(columns=["review"], vocabulary_size=60, length=4)
    tokens.fit(FRAME)

    assert tokens.encode(FRAME.head(1).with_columns(review=pl.lit("\u4e2d red")))[0, 0] == 1
    assert tokens.encode(FRAME.clear()).shape == (0, 4)


@pytest.mark.parametrize("state", [{}, {"tokenizer": {"model": {}}}, {"tokenizer": 3, "more": 1}])
def test_a_state_that_no_training_learns_is_refused(state):
    with pytest.raises(TreadleError, match="tokenizer"):
        Tokens(columns=["review"], vocabulary_size=60, length=4).set_state(state)


def test_a_network_reads_every_text_and_nothing_behind_its_end(featurizer):
    network, inputs = build(featurizer), featurizer(FRAME)
    changed = featurizer(FRAME.with_columns(title=pl.lit("hat")))
    filled = inputs.ids.clone()
    filled[:, 4] = 0  # the last token of the titles, which all are shorter

    output = network(*inputs.given)

    assert not torch.isclose(network(*changed.given), output).any()
    assert torch.equal(network(inputs.numeric, filled), output)


def test_the_order_of_words_counts(featurizer):
    network, inputs = build(featurizer), featurizer(FRAME)
    turned = inputs.ids.clone()
    turned[0, 5:] = turned[0, 5:].flip(0)

    assert not torch.isclose(network(inputs.numeric, turned)[0], network(*inputs.given)[0])


def test_each_block_has_a_vocabulary_of_its_own():
    titles, reviews = ({"columns": [name], "steps": {"tokens": TOKENS}} for name in ("title", "review"))
    made = Featurizer(Features.model_validate({"blocks": {"titles": titles, "reviews": reviews}}), targets=TARGETS)
    made.fit(FRAME.with_columns(title=pl.col("review")))  # so that both are equally large

    network = build(made)

    assert made.cardinalities[0] == made.cardinalities[4]
    assert network.table.num_embeddings == 2 * made.cardinalities[0]
    assert network.offsets.tolist() == [0] * 4 + [made.cardinalities[0]] * 4


def test_the_other_network_takes_numbers_and_categories(featurizer):
    network, inputs = build(featurizer), featurizer(FRAME)
    other = inputs.ids.clone()
    other[:, 0] = 0

    assert not torch.isclose(network(inputs.numeric + 1, inputs.ids), network(*inputs.given)).any()
    assert not torch.isclose(network(inputs.numeric, other), network(*inputs.given)).any()


def test_a_network_that_reads_no_tokens_is_refused(featurizer):
    with pytest.raises(TreadleError, match=r"treadle\.models\.linear\.Linear reads no texts"):
        build_model(
            NETWORK["member"],
            targets=TARGETS,
            num_numeric=1,
            cardinalities=featurizer.cardinalities,
            num_classes=0,
            texts=featurizer.texts,
        )
