"""Examples that are kept before they are split: any split of them is what it would be if they were built for it."""

from datetime import datetime

import pytest

from treadle.check.resolve import resolve
from treadle.data.prepare import prepare, prepare_unsplit

NOW = datetime(2026, 1, 1)  # noqa: DTZ001
AUTUMN = "++data.split={by: time, train_from: '2013-03-01', valid_from: '2013-08-01', test_from: '2013-09-01', gap: 2d}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kept", "moved"),
    [
        ([], [AUTUMN]),
        (["experiment=adult", "data.examples.weight=fnlwgt"], ["data.split.seed=7"]),
        (["experiment=adult_rules"], ["data.split.seed=7"]),
        (["experiment=bikeshare"], ["data.split.test_from=2018-10-01"]),
    ],
    ids=["the past, by time", "weights, by a column", "votes", "series"],
)
def test_another_split_of_kept_examples_is_the_same_to_the_byte(root, tmp_path, kept, moved):
    first = resolve(overrides=kept, root=root).experiment.data
    second = resolve(overrides=[*kept, *moved], root=root).experiment.data
    assert first.split != second.split

    prepare_unsplit(first, root=root, folder=tmp_path / "unsplit", now=NOW)
    prepare(second, root=root, folder=tmp_path / "taken", now=NOW, unsplit=tmp_path / "unsplit")
    prepare(second, root=root, folder=tmp_path / "built", now=NOW, unsplit=None)

    taken, built = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("taken", "built"))
    assert taken == built
