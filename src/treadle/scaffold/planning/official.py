"""A column that assigns each row to a split: TRAIN and TEST, `is_train`, numbers of folds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.scaffold.reading.profile import Profile
from treadle.schema import SPLITS, Split

VALID_SHARE = 0.2  # of the training rows, where the column names none for validation
MAX_FOLDS = 20
_PLAIN: dict[Split, set[str]] = {
    "train": {"train", "training"},
    "valid": {"valid", "val", "validation", "validate", "dev", "development", "tune", "tuning"},
    "test": {"test", "testing", "holdout", "heldout"},
}
# Where the name of the column shows what it is, too.
_SHORT: dict[Split, set[str]] = {
    "train": {"tr", "trn", "trainval", "learn", "learning", "fit"},
    "valid": {"va", "vld", "eval", "evaluation"},
    "test": {"te", "tst", "oot", "final"},
}
_HOLDOUT = {"holdout", "heldout", "oot", "final"}  # beside a test, which then validates
_NAMES = {"set", "split", "fold", "partition", "subset", "dataset", "phase", "usage", "sample", "part", "traintest"}
_FOLDS = {"fold", "folds", "kfold", "cv"}
_SUFFIX = re.compile(r"(set|data|split|sample|fold|part)$")
_FLAGS: dict[str, Split] = {
    **{f"{prefix}{word}": "train" for prefix in ("is", "in") for word in ("train", "training", "trainset")},
    **{f"{prefix}{word}": "test" for prefix in ("is", "in") for word in ("test", "testing", "testset", "holdout")},
}
_TRUE = {"true", "1", "yes", "y", "t"}


@dataclass(frozen=True)
class Official:
    """The rule that a column gives, and why."""

    column: Profile
    rule: dict[str, Any]
    reason: str


def find_official(columns: Iterable[Profile]) -> Official | None:
    """The first column that assigns each row to a split."""
    for profile in columns:
        texts = [_write(value) for value, _ in profile.values]
        if not 1 < len(texts) == profile.num_distinct:
            continue
        if rule := _read_words(profile.name, texts) or _read_flag(profile.name, texts):
            return Official(profile, _complete(profile, rule), f"{profile.name!r} assigns each row")
        if folds := _read_folds(profile, texts):
            reason = (
                f"{profile.name!r} numbers folds: the last one is the test split, the one before the validation split"
            )
            return Official(profile, _complete(profile, folds), reason)
    return None


def _write(value: Any) -> str:
    """As the stage `prepare` compares it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _complete(profile: Profile, rule: Mapping[Split, list[str]]) -> dict[str, Any]:
    """The rule as the configuration has it. A second set that is named for validation alone tests."""
    valid, test = rule.get("valid", []), rule.get("test", [])
    if not test:
        valid, test = [], valid
    named = {"valid": valid} if valid else {"valid_share": VALID_SHARE}
    return {"by": "column", "column": profile.name, "train": rule["train"], "test": test, **named, "seed": 0}


def _list_words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _read_words(name: str, texts: Iterable[str]) -> dict[Split, list[str]] | None:
    """Each value by its word; None where one is none of them, or training or the rest is not named."""
    is_named = bool(_list_words(name) & _NAMES) or {"train", "test"} <= _list_words(name)
    words = {split: _PLAIN[split] | (_SHORT[split] if is_named else set()) for split in SPLITS}
    found: dict[Split, list[str]] = {}
    for text in texts:
        plain = re.sub(r"[\W_]+", "", text.casefold())
        plain = plain if any(plain in known for known in words.values()) else _SUFFIX.sub("", plain)
        split = next((split for split, known in words.items() if plain in known), None)
        if split is None:
            return None
        found.setdefault(split, []).append(text)
    found = _part_holdout(found)
    # Without a name that says so, a train is taken for a set of rows only where a test is one.
    needed = {"train"} if is_named else {"train", "test"}
    return found if needed <= found.keys() and len(found) > 1 else None


def _part_holdout(found: dict[Split, list[str]]) -> dict[Split, list[str]]:
    """Of a test and a holdout, the test validates."""
    holdout = [text for text in found.get("test", []) if re.sub(r"[\W_]+", "", text.casefold()) in _HOLDOUT]
    others = [text for text in found.get("test", []) if text not in holdout]
    return {**found, "valid": others, "test": holdout} if holdout and others and "valid" not in found else found


def _read_flag(name: str, texts: list[str]) -> dict[Split, list[str]] | None:
    split = _FLAGS.get(re.sub(r"[\W_]+", "", name.lower()))
    true = [text for text in texts if text.lower() in _TRUE]
    if split is None or len(texts) != 2 or len(true) != 1:  # noqa: PLR2004 - true and false
        return None
    false = [text for text in texts if text not in true]
    return {"train": true, "test": false} if split == "train" else {"train": false, "test": true}


def _read_folds(profile: Profile, texts: list[str]) -> dict[Split, list[str]] | None:
    """Numbers from 0 or 1 on, alone or after one word: `3`, `fold_3`."""
    matches = [re.fullmatch(r"(\D*)(\d{1,2})", text) for text in texts]
    if profile.column.dtype not in {"int", "str"} or not _list_words(profile.name) & _FOLDS or not all(matches):
        return None
    numbers = {int(match[2]): text for match, text in zip(matches, texts, strict=True) if match}
    folds = [numbers[number] for number in sorted(numbers)]
    is_row = set(numbers) in ({*range(len(texts))}, {*range(1, len(texts) + 1)})
    if not is_row or not 3 <= len(folds) <= MAX_FOLDS or len({match[1] for match in matches if match}) > 1:  # noqa: PLR2004 - one for each split
        return None
    return {"train": folds[:-2], "valid": folds[-2:-1], "test": folds[-1:]}
