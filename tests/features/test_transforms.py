import math

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runs import treadle
from treadle.features.base import CELLS, overwrite
from treadle.features.categories import Hashing, Vocabulary
from treadle.features.transforms import Cyclic, Impute, PiecewiseLinear, Quantile, Standardize

NAN = math.nan


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


TRANSFORMS = {
    "impute": lambda columns: Impute(columns=columns, strategy="median", indicator=True),
    "standardize": lambda columns: Standardize(columns=columns),
    "quantile": lambda columns: Quantile(columns=columns, num_quantiles=50, output="normal"),
    "bins": lambda columns: PiecewiseLinear(columns=columns, num_bins=8),
    "cyclic": lambda columns: Cyclic(columns=columns, period=24),
}


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
class TestEveryTransform:
    rows = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 0.0])

    def fitted(self, make):
        transform = make(["a", "b", "constant"])
        transform.fit(self.rows)
        return transform

    def test_names_each_output(self, make):
        transform = self.fitted(make)

        assert transform(self.rows).shape == (500, len(transform.outputs))
        assert len(set(transform.outputs)) == len(transform.outputs)

    def test_treats_a_row_alone_as_among_others(self, make):
        transform = self.fitted(make)

        assert torch.equal(transform(self.rows[7:8]), transform(self.rows)[7:8])

    def test_takes_no_rows(self, make):
        transform = self.fitted(make)

        assert transform(self.rows[:0]).shape == (0, len(transform.outputs))

    def test_travels_in_a_state_dict(self, make):
        transform = self.fitted(make)
        other = make(["a", "b", "constant"])

        other.load_state_dict(transform.state_dict())

        assert torch.equal(other(self.rows), transform(self.rows))
        assert other.outputs == transform.outputs

    def test_stays_finite_beyond_what_it_has_seen(self, make):
        transform = self.fitted(make)

        assert transform(torch.full((1, 3), 1e6)).isfinite().all()
        assert transform(torch.full((1, 3), -1e6)).isfinite().all()

    def test_survives_a_column_without_any_value(self, make):
        transform = make(["a", "b", "constant"])
        rows = self.rows.clone()
        rows[:, 1] = NAN

        transform.fit(rows)

        assert transform(self.rows).isfinite().all()


def test_impute_fills_and_marks_where():
    impute = Impute(columns=["a"], strategy="median", indicator=True)

    impute.fit(column(1.0, NAN, 3.0, 10.0))

    assert impute.outputs == ["a", "a missing"]
    assert impute(column(NAN, 5.0)).tolist() == [[3.0, 1.0], [5.0, 0.0]]


@pytest.mark.parametrize("indicator", [True, False])
def test_many_rows_are_overwritten_by_what_a_step_makes_of_them(indicator):
    rows = torch.randn(CELLS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows[::7, 1] = NAN
    impute = Impute(columns=["a", "b"], strategy="mean", indicator=indicator)
    impute.fit(rows)
    wanted = impute(rows)

    made = overwrite(rows, step=impute)

    assert torch.equal(made, wanted)
    assert (made.data_ptr() == rows.data_ptr()) is not indicator


@pytest.mark.parametrize("num_rows", [4, 5, CELLS // 2 + 1])
def test_the_median_is_the_lower_one_of_the_values_that_are_there(num_rows):
    rows = torch.randn(num_rows, 2, generator=torch.Generator().manual_seed(0))
    rows[: num_rows // 2, 0] = NAN
    impute = Impute(columns=["a", "b"], strategy="median", indicator=False)

    impute.fit(rows)

    assert torch.equal(impute.center, rows.nanmedian(dim=0).values)


def test_what_was_learned_does_not_change_with_the_rows():
    transform = Standardize(columns=["a"])
    rows = torch.ones(3, 1)

    transform.learn(mean=rows[0])
    rows.zero_()

    assert transform.mean.tolist() == [1.0]


def test_impute_adds_no_indicator_where_nothing_was_missing():
    impute = Impute(columns=["a"], strategy="mean", indicator=True)

    impute.fit(column(1.0, 3.0))

    assert impute(column(NAN)).tolist() == [[2.0]]


def test_standardize_gives_mean_0_and_deviation_1_of_the_values_that_are_there():
    rows = torch.cat([torch.randn(1000, 1) * 50 + 1e4, torch.full((5, 1), NAN)])
    standardize = Standardize(columns=["a"])

    standardize.fit(rows)
    scaled = standardize(rows)

    assert scaled[-5:].isnan().all()
    assert abs(scaled[:-5].mean()) < 1e-4
    assert scaled[:-5].std(correction=0) == pytest.approx(1.0, abs=1e-4)


def test_standardize_learns_from_many_rows_in_double_precision():
    rows = torch.randn(CELLS, 2, generator=torch.Generator().manual_seed(0)) + 1e3
    rows[:5, 1] = NAN
    standardize = Standardize(columns=["a", "b"])

    standardize.fit(rows)

    exact = rows.double()
    assert torch.allclose(standardize.mean, exact.nanmean(dim=0), rtol=1e-12)
    assert standardize.scale[1].item() == pytest.approx(exact[5:, 1].std(correction=0).item(), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 2024.0, -1e30])
def test_a_constant_column_carries_no_information_on_another_value(value):
    standardize = Standardize(columns=["year"])

    standardize.fit(column(*[value] * 999))

    assert standardize(column(value, 2025.0, -1e6)).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_standardize_knows_no_unit(unit):
    standardize = Standardize(columns=["a"])

    standardize.fit(column(1.0, 3.0) * unit)

    assert standardize(column(1.0, 3.0, 5.0) * unit)[:, 0].tolist() == pytest.approx([-1.0, 1.0, 3.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda columns: Standardize(columns=columns),
        lambda columns: Quantile(columns=columns, num_quantiles=50, output="normal"),
        lambda columns: PiecewiseLinear(columns=columns, num_bins=8),
        lambda columns: Cyclic(columns=columns, period=86_400),
    ],
    ids=["standardize", "quantile", "bins", "cyclic"],
)
def test_seconds_since_1970_are_distinguished_like_seconds_since_yesterday(make):
    seconds = torch.arange(0, 7_200, 60, dtype=torch.float64)[:, None]
    small, large = make(["seconds"]), make(["seconds"])
    days = 19_675 * 86_400

    small.fit(seconds)
    large.fit(seconds + days)

    assert torch.allclose(small(seconds), large(seconds + days), atol=1e-6)
    assert len(set(large.outputs)) == len(large.outputs)


def test_quantile_makes_a_skewed_column_normal():
    rows = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0)).exp()
    quantile = Quantile(columns=["a"], num_quantiles=500, output="normal")

    quantile.fit(rows)
    scaled = quantile(rows)

    assert abs(scaled.mean()) < 0.01
    assert scaled.std() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quantile(columns=["a"], num_quantiles=50, output="uniform"),
        lambda: PiecewiseLinear(columns=["a"], num_bins=8),
    ],
    ids=["quantile", "bins"],
)
def test_what_rounding_alone_distinguishes_is_one_value(make):
    rows = torch.cat([column(*[0.1 + 0.2, 0.3] * 50), column(0.0, 1.0)])
    transform = make()

    transform.fit(rows)

    assert (transform(column(0.1 + 0.2)) - transform(column(0.3))).abs().max() < 1e-9


def test_quantile_puts_ties_in_the_middle_of_their_ranks():
    quantile = Quantile(columns=["a"], num_quantiles=101, output="uniform")

    quantile.fit(torch.cat([torch.zeros(50, 1), torch.linspace(1, 2, 51)[:, None]]))

    assert quantile(column(0.0, 2.0, -5.0, 5.0))[:, 0].tolist() == pytest.approx([0.245, 1.0, 0.245, 1.0], abs=1e-3)


def test_quantile_that_has_run_takes_other_knots():
    few, many = (Quantile(columns=["a"], num_quantiles=20, output="uniform") for _ in range(2))
    few.fit(column(0.0, 0.0, 1.0))
    many.fit(torch.linspace(0, 9, 100)[:, None])
    rows = column(0.5, 3.0, 7.0)
    before = few(rows)

    few.load_state_dict(many.state_dict())

    assert torch.equal(few(rows), many(rows))
    assert not torch.equal(few(rows), before)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60))
def test_quantile_keeps_the_order(values):
    quantile = Quantile(columns=["a"], num_quantiles=20, output="uniform")
    ordered = column(*sorted(values))

    quantile.fit(ordered)
    ranks = quantile(ordered)[:, 0]

    assert (ranks.diff() >= -1e-6).all()
    assert ((ranks >= 0) & (ranks <= 1)).all()


@pytest.mark.parametrize("value", [0.0, 3.0, 2.0**40, -1e30])
def test_bins_of_a_constant_column_are_a_number_however_large_it_is(value):
    bins = PiecewiseLinear(columns=["a"], num_bins=4)
    values = torch.full((3, 1), value)
    bins.fit(values)

    assert bins(values).tolist() == [[0.0]] * 3


def test_bins_fill_one_after_another():
    bins = PiecewiseLinear(columns=["a"], num_bins=2)

    bins.fit(column(0.0, 1.0, 2.0, 3.0, 4.0))

    assert bins(column(1.0, 3.0, -1.0, 9.0)).tolist() == [[0.5, 0.0], [1.0, 0.5], [0.0, 0.0], [1.0, 1.0]]


def test_cyclic_closes_the_circle():
    cyclic = Cyclic(columns=["hour"], period=24)

    assert torch.allclose(cyclic(column(0.0)), cyclic(column(24.0)), atol=1e-6)
    assert cyclic(column(NAN)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("numbers.steps.bins.num_bins=0", "PiecewiseLinear: num_bins must be at least 1, found 0"),
        ("measures.steps.scale.num_quantiles=1", "Quantile: num_quantiles must be at least 2, found 1"),
        ("clock.steps.cycle.period=0", "Cyclic: period must be above 0, found 0"),
        ("names.steps.ids.min_count=0", "Vocabulary: min_count must be at least 1, found 0"),
        ("routes.steps.ids.num_buckets=0", "Hashing: num_buckets must be at least 1, found 0"),
    ],
)
def test_a_value_out_of_range_is_refused(project, capsys, override, message):
    experiment = "california" if override.startswith("numbers") else "flights"

    assert treadle("check", f"experiment={experiment}", f"features.blocks.{override}") == 2

    assert message in capsys.readouterr().err


# --- categories ---------------------------------------------------------------------------------------


def test_a_vocabulary_keeps_what_is_frequent_and_maps_the_rest_to_0():
    vocabulary = Vocabulary(columns=["c"], min_count=2)

    vocabulary.fit(pl.DataFrame({"c": ["a", "b", "b", "b", "a", "rare", None]}))

    assert vocabulary.cardinality("c") == 3
    assert vocabulary.encode(pl.DataFrame({"c": ["b", "a", "rare", "new", None]})).tolist() == [
        [1],
        [2],
        [0],
        [0],
        [0],
    ]


def test_a_vocabulary_reads_a_whole_float_like_the_integer():
    vocabulary = Vocabulary(columns=["c"], min_count=1)

    vocabulary.fit(pl.DataFrame({"c": [1, 2, 2]}))

    assert vocabulary.encode(pl.DataFrame({"c": [2.0, 1.0, None, 1.5, math.inf]})).tolist() == [
        [1],
        [2],
        [0],
        [0],
        [0],
    ]


def test_hashing_gives_the_same_id_everywhere_and_0_to_what_is_missing():
    hashing = Hashing(columns=["c"], num_buckets=1000)

    ids = hashing.encode(pl.DataFrame({"c": ["JFK-LAX", "EWR-SFO", None, "JFK-LAX"]}))[:, 0].tolist()

    assert ids == [ids[0], ids[1], 0, ids[0]]
    assert ids[:2] == [922, 967]  # written down once: another Python, another machine must agree
    assert hashing.cardinality("c") == 1001


@pytest.mark.parametrize("encoder", [Vocabulary(columns=["c"], min_count=1), Hashing(columns=["c"], num_buckets=9)])
def test_an_encoder_takes_no_rows(encoder):
    encoder.fit(pl.DataFrame({"c": ["a"]}))

    assert encoder.encode(pl.DataFrame({"c": []}, schema={"c": pl.String})).shape == (0, 1)


def test_a_float_beyond_every_integer_is_a_word_of_its_own():
    frame = pl.DataFrame({"c": [1e300, -1e300, 2.0**63, 3.0, 3.0, math.inf, None]})
    vocabulary = Vocabulary(columns=["c"], min_count=1)

    vocabulary.fit(frame)

    assert set(vocabulary.words["c"]) == {"1e+300", "-1e+300", "9.223372036854776e+18", "3"}
    assert vocabulary.encode(frame)[:, 0].bincount().tolist() == [2, 2, 1, 1, 1]
    assert len(Hashing(columns=["c"], num_buckets=10**6).encode(frame).unique()) == 5
