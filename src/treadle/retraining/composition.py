"""What is composed for a retraining: the experiment, as its first champion can be trained, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from treadle.champions.bundles import CHAMPION
from treadle.champions.ledger import read_history
from treadle.config.compose import Composed, compose
from treadle.config.overrides import key_of
from treadle.experiment.stages import SOURCE_BUNDLES
from treadle.keys import get

OPTIMIZER = "schedule.start_optimizer"
ANEW = f"++{OPTIMIZER}=anew"  # of a model that starts from none: there is no optimizer to continue


def compose_retraining(overrides: Sequence[str], *, root: Path) -> tuple[list[str], Composed]:
    """The overrides that are meant, and what they compose.

    The first champion starts from none: where there is no champion yet, `champion` is null.
    """
    given = list(overrides)
    composed = compose(overrides=given, root=root)
    if "retrain" not in composed.values:  # a project whose conf/config.yaml is older than the group
        given.append("+retrain=default")
        composed = compose(overrides=given, root=root)
    name = composed.values.get("name")
    keys = [f"{section}.{key}" for section, key in SOURCE_BUNDLES.items()]
    asked = [key for key in keys if get(composed.values, key) in (CHAMPION, f"{name}@{CHAMPION}")]
    if asked and not read_history(str(name), root=root).decisions:
        typed = {key: text for text in given if (key := key_of(text).lstrip("+")) in asked}
        written = [f"{key}=null" for key in asked if key not in typed]
        given = [*(text for text in given if text not in typed.values()), *written]
        if "schedule.start_from" in asked:
            given = [*(text for text in given if key_of(text) != OPTIMIZER), ANEW]
        composed = compose(overrides=given, root=root)
    return given, composed
