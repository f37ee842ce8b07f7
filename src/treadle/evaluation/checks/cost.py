"""Whether the model costs no more than it may."""

from __future__ import annotations

from treadle.evaluation.cost import measure_size, measure_time
from treadle.evaluation.evaluated import Evaluated
from treadle.outcomes import Outcome, judge, not_applicable
from treadle.schema import Count, Positive


def limit_parameters(evaluated: Evaluated, *, ceiling: Count) -> Outcome:
    """The network is not larger than it may be.

    Args:
        evaluated: given by Treadle.
        ceiling: largest number of parameters.
    """
    number = evaluated.training.get("num_parameters")
    if number is None:
        return not_applicable("The model has no parameters of a network.")
    sentence = f"The network has {number:,} parameters; {ceiling:,} are allowed."
    return judge(sentence, holds=number <= ceiling, parameters=number, ceiling=ceiling)


def limit_size(evaluated: Evaluated, *, ceiling: Count) -> Outcome:
    """The bundle is not larger than it may be.

    Args:
        evaluated: given by Treadle.
        ceiling: largest size of its files together [bytes].
    """
    size = measure_size(evaluated.folder.bundle)
    sentence = f"The bundle has {size:,} bytes; {ceiling:,} are allowed."
    return judge(sentence, holds=size <= ceiling, bytes=size, ceiling=ceiling)


def limit_time(evaluated: Evaluated, *, rows: Count, ceiling_ms: Positive) -> Outcome:
    """A prediction does not take longer than it may.

    The time is measured, so it differs from run to run: an evaluation with this check is not the same, byte for byte,
    when it is made again.

    Args:
        evaluated: given by Treadle.
        rows: that are predicted at once; 1 as for a server.
        ceiling_ms: most time of the processor for them, by the median of nine predictions [ms].
    """
    taken = measure_time(evaluated, rows=rows)
    if taken is None:
        return not_applicable(f"The test split has fewer than {rows:,} rows.")
    what = "One row takes" if rows == 1 else f"{rows:,} rows take"
    sentence = f"{what} {taken:.3g} ms of the processor; {ceiling_ms:g} ms are allowed."
    return judge(sentence, holds=taken <= ceiling_ms, ms=taken, ceiling_ms=ceiling_ms, rows=rows)
