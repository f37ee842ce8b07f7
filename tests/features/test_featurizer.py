import math

import numpy as np
import polars as pl
import pytest
import torch

from treadle.errors import TreadleError
from treadle.experiment.spec import Features
from treadle.features.base import CELLS, COPIED_CELLS, Chain, Transform
from treadle.features.featurizer import Featurizer

TARGETS = ["treadle.features."]
IMPUTE = {"_target_": "treadle.features.transforms.Impute", "strategy": "median", "indicator": True}
SCALE = {"_target_": "treadle.features.transforms.Standardize"}
WORDS = {"_target_": "treadle.features.categories.Vocabulary", "min_count": 1}
ROWS = pl.DataFrame({"a": [1.0, None, 3.0, 4.0], "b": [1, 2, 3, 4], "c": ["x", "y", None, "x"]})


def make(derive=None, **blocks):
    return Featurizer(Features.model_validate({"derive": derive or {}, "blocks": blocks}), targets=TARGETS)


@pytest.fixture
def featurizer():
    numbers = {"columns": ["a", "twice"], "steps": {"impute": IMPUTE, "scale": SCALE}}
    made = make({"twice": "b * 2"}, numbers=numbers, words={"columns": ["c"], "steps": {"ids": WORDS}})
    made.fit(ROWS)
    return made


def test_names_and_shapes_agree(featurizer):
    inputs = featurizer(ROWS)

    assert featurizer.numeric_names == ["a", "twice", "a missing"]
    assert featurizer.id_names == ["c"]
    assert featurizer.cardinalities == [3]
    assert inputs.numeric.shape == (4, 3)
    assert inputs.ids[:, 0].tolist() == [1, 2, 0, 1]


def test_blocks_and_steps_may_have_any_name(tmp_path):
    made = make(keys={"columns": ["b"], "steps": {"type": IMPUTE, "training": SCALE}})
    made.fit(ROWS)
    made.save(tmp_path)

    loaded = Featurizer.load(tmp_path, spec=made.spec, targets=TARGETS)

    assert torch.equal(loaded(ROWS).numeric, made(ROWS).numeric)


def test_kept_transforms_are_those_of_before_and_words_are_added(featurizer, tmp_path):
    """As training does that goes on from a bundle."""
    featurizer.save(tmp_path)
    before = Featurizer.load(tmp_path, spec=featurizer.spec, targets=TARGETS)
    rows = pl.DataFrame({"a": [90.0, None, 70.0], "b": [7, 8, 9], "c": ["z", "x", "w"]})
    grown = make(featurizer.spec.derive, **featurizer.spec.model_dump()["blocks"])

    fitted = grown.fit(rows, before=before)

    assert torch.equal(fitted.numeric, featurizer(rows).numeric)
    assert grown.encoders["words"].words == {"c": ["x", "y", "w", "z"]}
    assert fitted.ids[:, 0].tolist() == [4, 1, 3]
    assert [each.places.tolist() for each in grown.trace_ids(featurizer)] == [[0, 1, 2, 0, 0]]


@pytest.mark.parametrize("copied_cells", [0, COPIED_CELLS], ids=["some at a time", "at once"])
def test_fitting_returns_what_applying_gives(featurizer, monkeypatch, copied_cells):
    applied = featurizer(ROWS)
    for module in ("numbers", "categories"):
        monkeypatch.setattr(f"treadle.features.{module}.COPIED_CELLS", copied_cells)
    again = make(featurizer.spec.derive, **featurizer.spec.model_dump()["blocks"])

    fitted = again.fit(ROWS)

    assert all(torch.equal(a, b) for a, b in zip(fitted, applied, strict=True))


def test_of_two_blocks_that_do_not_fit_the_first_is_reported():
    text = {"columns": ["c"], "steps": {"scale": SCALE}}
    gaps = {"columns": ["a"], "steps": {"scale": SCALE}}

    with pytest.raises(TreadleError, match=r"features\.blocks\.text\.columns: 'c' is of type String"):
        make(text=text, gaps=gaps).fit(ROWS)
    with pytest.raises(TreadleError, match=r"features\.blocks\.gaps\.steps: missing values remain"):
        make(gaps=gaps, text=text).fit(ROWS)


def test_many_rows_give_what_each_gives_alone(featurizer):
    rows = ROWS[np.arange(CELLS) % 4]

    inputs = featurizer(rows)

    assert torch.equal(inputs.numeric, featurizer(ROWS).numeric.repeat(CELLS // 4, 1))
    assert inputs.numeric.is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(make(**both(featurizer)).fit(rows), inputs, strict=True))


def both(featurizer):
    spec = featurizer.spec.model_dump()
    return {"derive": spec["derive"], **spec["blocks"]}


def test_saved_and_loaded_it_gives_the_same_bits(featurizer, tmp_path):
    featurizer.save(tmp_path)

    loaded = Featurizer.load(tmp_path, spec=featurizer.spec, targets=TARGETS)

    assert all(torch.equal(a, b) for a, b in zip(loaded(ROWS), featurizer(ROWS), strict=True))
    assert loaded.numeric_names == featurizer.numeric_names


def test_loading_refuses_targets_outside_the_allow_list(featurizer, tmp_path):
    featurizer.save(tmp_path)

    with pytest.raises(TreadleError, match="outside the allowed"):
        Featurizer.load(tmp_path, spec=featurizer.spec, targets=["treadle.models."])


def test_nulls_infinities_and_unseen_values_have_their_place(featurizer):
    strange = pl.DataFrame(
        {"a": [math.inf, -math.inf, math.nan, None], "b": [None, 1, 1, 1], "c": ["new", "x", "", None]}
    )

    inputs = featurizer(strange)

    assert inputs.numeric.isfinite().all()
    assert torch.equal(inputs.numeric[0, 0], inputs.numeric[3, 0])
    assert inputs.ids[:, 0].tolist() == [0, 1, 0, 0]


def test_an_empty_frame_gives_empty_tensors(featurizer):
    inputs = featurizer(ROWS[:0])

    assert inputs.numeric.shape == (0, 3)
    assert inputs.ids.shape == (0, 1)


def test_a_text_in_a_block_of_numbers_is_refused():
    with pytest.raises(TreadleError, match=r"features\.blocks\.n\.columns: 'c' is of type String, not a number"):
        make(n={"columns": ["c"], "steps": {"scale": SCALE}}).fit(ROWS)


def test_an_unknown_column_is_named_with_its_nearest_spelling():
    with pytest.raises(TreadleError, match=r"features\.blocks\.n\.columns: no column 'twise'\. Did you mean 'twice'"):
        make({"twice": "b * 2"}, n={"columns": ["twise"], "steps": {}}).fit(ROWS)


def test_missing_values_that_no_step_fills_are_refused():
    with pytest.raises(TreadleError, match=r"features\.blocks\.n\.steps: missing values remain"):
        make(n={"columns": ["a"], "steps": {"scale": SCALE}}).fit(ROWS)


def test_a_derived_column_may_read_those_before_it():
    derive = {"twice": "b * 2", "half": "b / 2.0", "both": "twice + half", "again": "both + twice"}

    derived = make(derive, n={"columns": ["again", "both", "half"], "steps": {}}).derive(ROWS)

    assert derived.rows() == [(4.5, 2.5, 0.5), (9.0, 5.0, 1.0), (13.5, 7.5, 1.5), (18.0, 10.0, 2.0)]


def test_a_broken_expression_names_its_key():
    with pytest.raises(TreadleError, match=r"features\.derive\.x: 'b \+\* 2' is not an SQL expression"):
        make({"x": "b +* 2"}, n={"columns": ["x"], "steps": {}}).fit(ROWS)


def test_no_step_may_follow_ids():
    with pytest.raises(TreadleError, match=r"features\.blocks\.w\.steps\.scale: no step may follow Vocabulary"):
        make(w={"columns": ["c"], "steps": {"ids": WORDS, "scale": SCALE}}).fit(ROWS)


def test_each_number_knows_the_column_that_it_comes_from():
    bins = {"_target_": "treadle.features.transforms.PiecewiseLinear", "num_bins": 2}
    cycle = {"_target_": "treadle.features.transforms.Cyclic", "period": 2}
    made = make(
        plain={"columns": ["b"], "steps": {}},
        binned={"columns": ["b", "a"], "steps": {"impute": IMPUTE, "bins": bins}},
        clock={"columns": ["b"], "steps": {"cycle": cycle}},
    )

    made.fit(ROWS)

    found = [
        (name.split(" ≥")[0], column) for name, column in zip(made.numeric_names, made.numeric_columns, strict=True)
    ]
    assert found == [
        ("b", "b"),
        *[("b", "b"), ("b", "b"), ("a", "a"), ("a", "a"), ("a missing", "a")],
        *[("sin b", "b"), ("cos b", "b")],
    ]


class Twice(Transform):
    """Without a word on where its second half comes from."""

    @property
    def outputs(self):
        return [*self.columns, *self.columns]


def test_a_transform_without_the_origins_of_its_outputs_is_refused_when_these_are_asked_for():
    chain = Chain({"twice": Twice(columns=["a"])})

    with pytest.raises(
        TreadleError, match=r"twice: Twice\.origins must hold a position for each of 2 outputs; found 1"
    ):
        chain.origins  # noqa: B018 - it is computed


# --- large numbers, and numbers that do not vary ------------------------------------------------------

QUANTILE = {"_target_": "treadle.features.transforms.Quantile", "num_quantiles": 9, "output": "normal"}
BINS = {"_target_": "treadle.features.transforms.PiecewiseLinear", "num_bins": 4}


@pytest.mark.parametrize("step", [SCALE, QUANTILE, BINS], ids=["scale", "quantile", "bins"])
def test_a_large_number_keeps_what_distinguishes_rows_in_training_and_serving(step, tmp_path):
    small = pl.DataFrame({"x": np.linspace(0, 30, 50)})
    large = small.with_columns(pl.col("x") + 1_700_000_000)
    block = {"columns": ["x"], "steps": {"impute": IMPUTE, "step": step}}
    wanted, featurizer = make(n=block).fit(small).numeric, make(n=block)

    fitted = featurizer.fit(large).numeric
    featurizer.save(tmp_path)
    loaded = Featurizer.load(tmp_path, spec=featurizer.spec, targets=TARGETS)

    assert fitted.dtype == torch.float32
    assert torch.allclose(fitted, wanted, atol=1e-5)
    assert torch.equal(torch.cat([loaded(large[row]).numeric for row in range(50)]), fitted)


def test_numbers_that_float32_would_not_distinguish_must_be_scaled():
    rows = pl.DataFrame({"id": [1_700_000_000 + 3 * n for n in range(50)]})

    with pytest.raises(
        TreadleError, match=r"features\.blocks\.n\.steps: the values of 'id' are large beside what they"
    ):
        make(n={"columns": ["id"], "steps": {}}).fit(rows)
    assert make(n={"columns": ["id"], "steps": {"scale": SCALE}}).fit(rows).numeric.unique().numel() == 50
    assert make(n={"columns": ["id"], "steps": {}}).fit(rows - 1_699_000_000).numeric.unique().numel() == 50


def test_a_number_beyond_float32_is_missing_as_an_infinite_one_is(featurizer):
    rows = pl.DataFrame({"a": [1e39, None, -1e300], "b": [1, 1, 1], "c": ["x", "x", "x"]})

    numeric = featurizer(rows).numeric

    assert torch.equal(numeric[0], numeric[1])
    assert torch.equal(numeric[2], numeric[1])


VARYING = {"x": [0.0, 1.0, 2.0, 3.0], "year": [2024] * 4, "sensor": [None] * 4, "kind": ["a"] * 4, "word": [None] * 4}
CHAINS = {
    "scaled": {"impute": IMPUTE, "scale": SCALE},
    "by quantiles": {"impute": IMPUTE, "scale": QUANTILE},
    "in bins": {"impute": IMPUTE, "bins": BINS},
    "as they are": {"impute": IMPUTE},
    "on a circle": {"cycle": {"_target_": "treadle.features.transforms.Cyclic", "period": 7}},
}


@pytest.mark.parametrize("steps", CHAINS.values(), ids=CHAINS)
def test_what_never_varied_in_training_carries_no_information_afterwards(steps, tmp_path):
    """Not a year that was always the same, nor a sensor that was silent, nor a word that stood in every row."""
    hashes = {"_target_": "treadle.features.categories.Hashing", "num_buckets": 1000}
    made = make(
        numbers={"columns": ["x", "year", "sensor"], "steps": steps},
        words={"columns": ["kind", "word"], "steps": {"ids": WORDS}},
        hashes={"columns": ["kind", "word"], "steps": {"ids": hashes}},
    )
    rows = pl.DataFrame(VARYING, schema_overrides={"sensor": pl.Float64, "word": pl.String})
    made.fit(rows)
    made.save(tmp_path)
    others = rows.with_columns(year=pl.lit(2025), sensor=pl.lit(1000.0), kind=pl.lit("new"), word=pl.lit("new"))
    moved = rows.with_columns(pl.col("x") + 0.5)

    for featurizer in (made, Featurizer.load(tmp_path, spec=made.spec, targets=TARGETS)):
        assert all(torch.equal(a, b) for a, b in zip(featurizer(rows), featurizer(others), strict=True))
        assert not torch.equal(featurizer(rows).numeric, featurizer(moved).numeric)


def test_a_column_may_stand_in_several_blocks_of_ids():
    hashes = {"_target_": "treadle.features.categories.Hashing", "num_buckets": 16}
    words = {"columns": ["c"], "steps": {"ids": WORDS}}
    made = make(words=words, again=words, hashes={"columns": ["c"], "steps": {"ids": hashes}})

    ids = made.fit(ROWS).ids

    assert ids.shape == (4, 3)
    assert made.cardinalities == [3, 3, 17]
    assert made.id_names == ["c (words)", "c (again)", "c (hashes)"]
    assert made.id_columns == ["c"] * 3
