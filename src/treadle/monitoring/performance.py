"""An alarm on realised performance: a block on which the model does worse than on any usual block of new rows."""

from __future__ import annotations

from treadle.monitoring.charts import Alarm, Signal
from treadle.monitoring.labels import Realised
from treadle.profiles.realised import Usual

SIGNAL = Signal("performance", ("realised performance",))


def judge_performance(
    realised: Realised | None, usual: Usual | None, *, min_rows: float, false_alarms: float
) -> Alarm | None:
    """An alarm where the loss, as a share of the prior's, is beyond what the test split's own blocks make likely.

    Args:
        realised: of the block, of the days whose labels are there.
        usual: of the test split's blocks.
        min_rows: of the days that count, below which nothing is said.
        false_alarms: share of normal blocks that may alarm.
    """
    if realised is None or usual is None or realised.prior_share is None or realised.rows < min_rows:
        return None
    z, limit = (realised.prior_share - usual.mean) / usual.deviation, usual.find_limit(false_alarms)
    if z <= limit:
        return None
    share, bound = realised.prior_share, usual.mean + limit * usual.deviation
    words = (
        f"the loss is {share:.3f} of the prior's, on {usual.count} blocks of the test split {usual.mean:.3f} "
        f"± {usual.deviation:.3f}, limit {bound:.3f}"
    )
    return Alarm(SIGNAL, z, limit, words)
