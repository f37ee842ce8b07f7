"""Whether the test split holds rows that the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import torch
from torch import Tensor

from treadle.evaluation.evaluated import Evaluated
from treadle.features.featurize import read_target
from treadle.features.stored import StoredRows
from treadle.outcomes import Outcome, judge
from treadle.schema import ROW, SHARES, Fraction

_NUM_EXAMPLES = 5


def limit_overlap(evaluated: Evaluated, *, max_share: Fraction) -> Outcome:
    """Test rows are not training rows.

    A test row counts that has the inputs and the target of a training row. Few and coarse columns have such rows by
    nature; many distinct numbers that agree are a copy.

    Args:
        evaluated: given by Treadle.
        max_share: of the test rows that may be in the training split.
    """
    trained = pl.concat(_hash_training(evaluated)).unique()
    found = pl.concat(_hash_test(evaluated)).is_in(trained.implode())
    share = float(found.mean() or 0.0)  # type: ignore[arg-type]
    rows = evaluated.test.select(ROW).collect()[ROW].filter(found).head(_NUM_EXAMPLES).to_list()
    such = f", such as row {rows[0]}" if rows else ""
    sentence = (
        f"{int(found.sum()):,} of {len(found):,} test rows are in the training split as well ({share:.2%}{such}); "
        f"{max_share:.2%} are allowed."
    )
    return judge(sentence, holds=share <= max_share, share=share, max_share=max_share, rows=rows)


def _hash_test(evaluated: Evaluated) -> Iterator[pl.Series]:
    start = 0
    for inputs in evaluated.read_inputs():
        end = start + len(inputs.numeric)
        yield _hash(*inputs, evaluated.target[start:end])
        start = end


def _hash_training(evaluated: Evaluated) -> Iterator[pl.Series]:
    """File by file: the training split may be large. Rows that rules have labelled stand once for each class there."""
    examples = evaluated.read_rows("train")
    if SHARES in examples.collect_schema():
        frame = examples.collect()
        numeric, ids, pixels = evaluated.featurizer(frame)
        yield _hash(numeric, ids, pixels, read_target(frame, classes=evaluated.bundle.classes))
        return
    stored = StoredRows.find(evaluated.folder.features / "train")
    for file in range(stored.num_files):
        rows = stored.read([file])
        yield _hash(rows.numeric, rows.ids, rows.pixels, rows.target)


def _hash(numeric: Tensor, ids: Tensor, pixels: Tensor, target: Tensor) -> pl.Series:
    """`[B]` of the values of each row."""
    numbers = torch.cat([numeric.double(), ids.double(), target.double().reshape(len(target), -1)], dim=1)
    values = pl.from_numpy(numbers.numpy())
    if pixels.shape[1]:
        values = values.with_columns(pixels=pl.Series([row.tobytes() for row in pixels.numpy()]))
    return values.hash_rows(seed=0)
