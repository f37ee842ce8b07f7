"""What other tools, and older configurations, call a key: an unknown name may be meant for another one."""

from __future__ import annotations

import re
from collections.abc import Collection

from treadle.experiment.stages import NO_PART_OF_A_RUN
from treadle.keys import get_name, is_within

SECURITY = "targets"  # decides whose code may run, so it is never suggested for a misspelt key

# The names that other tools use for our keys.
_WORDS = {
    "epochs": "schedule.max_epochs",
    "num_epochs": "schedule.max_epochs",
    "n_epochs": "schedule.max_epochs",
    "num_train_epochs": "schedule.max_epochs",
    "learning_rate": "schedule.optimizer.lr",
    "train_batch_size": "schedule.batch_size",
    "bs": "schedule.batch_size",
    "gradient_clip_val": "schedule.gradient_clip",
    "max_grad_norm": "schedule.gradient_clip",
    "early_stopping_patience": "schedule.early_stopping.patience",
    "scheduler": "schedule.lr_schedule",
    "lr_scheduler": "schedule.lr_schedule",
    "criterion": "loss",
    "limit_train_batches": "trainer.limit_batches",
    "gpus": "trainer.devices",
    "num_threads": "trainer.threads",
    "random_state": "seed",
    "random_seed": "seed",
}
# Keys that were renamed: the pattern of the old one, and the new one.
_RENAMED = {r"(data\.tables\.[^.]+\.columns\..+)\.late": r"\1.known_after_prediction"}


def find_renamed(key: str) -> str:
    """The key that an older version called so; "" where there is none."""
    return next((re.sub(old, new, key) for old, new in _RENAMED.items() if re.fullmatch(old, key)), "")


def find_namesake(key: str, known: Collection[str]) -> str:
    """The key that an unknown one means: renamed, of that name in another section, or known from other tools.

    Args:
        key: dotted, unknown.
        known: every dotted key that there is.

    Returns:
        The dotted key, "" where none is found.
    """
    renamed = find_renamed(key)
    if renamed:
        return renamed
    word = get_name(key)
    suggested = list_suggested(key, known)
    named = [other for other in suggested if get_name(other) == word and other != key]
    at_home = [other for other in named if "." in key and is_within(other, key.partition(".")[0])]
    places = [other for other in at_home or named if _is_plain(other)]  # a name that the own section has is meant there
    fewest = min((other.count(".") for other in places), default=0)
    nearest = [other for other in places if other.count(".") == fewest]
    if len(nearest) == 1:
        return nearest[0]
    meant = _WORDS.get(word.lower(), "")
    return meant if meant in known else ""


def list_suggested(key: str, known: Collection[str]) -> list[str]:
    """The keys that may be suggested for another one: those of a section that no run reads only inside of it."""
    apart = [section for section in NO_PART_OF_A_RUN if not is_within(key, section)]
    return [other for other in known if other != SECURITY and not any(is_within(other, each) for each in apart)]


def _is_plain(key: str) -> bool:
    """Whether the name is Treadle's own: not that of a column or a step of the project, an index, or `targets`."""
    named = key.startswith(("data.tables.", "data.examples.", "features.", SECURITY))
    return not named and not any(map(str.isdigit, key.split(".")))
