"""What a log and its labels say about a challenger: in pairs, and between groups of keys."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from shadow_logs import BEGIN, CHALLENGER, CHAMPION, write, write_shadow
from treadle.bundle.card import Card
from treadle.errors import TreadleError
from treadle.monitoring.labels import store_labels
from treadle.rollout.evidence import find_evidence
from treadle.serving.log import Record

CARD = Card.model_construct(task="binary", classes=[])


def find(folder, **changed):
    given = {
        "champion": CHAMPION,
        "challenger": CHALLENGER,
        "card": CARD,
        "alpha": 0.05,
        "min_share": 0.95,
        "kind": None,
        "now": BEGIN + timedelta(days=365),
    }
    return find_evidence(folder, **{**given, **changed})


def test_pairs_give_the_difference_of_the_log_loss_by_day(tmp_path):
    label, models = write_shadow(tmp_path / "log", days=30, error=0.1)

    found = find(tmp_path / "log")

    losses = [-np.log(np.where(label, model, 1 - model)) for model in models]
    wanted = (losses[0] - losses[1]).reshape(30, 60).mean(axis=1)
    assert (found.kind, found.loss, found.verdict) == ("shadow", "log loss", "better")
    assert [day.gain for day in found.days] == pytest.approx(wanted.tolist())
    assert {day.num_rows for day in found.days} == {60}
    assert found.interval.mean == pytest.approx(wanted.mean())
    assert found.sentence.startswith("the challenger is better: gain in log loss +")
    assert found.to_plain()["gain"]["low"] > 0


def test_two_equal_models_are_not_yet_told_apart_and_a_worse_one_is(tmp_path):
    write_shadow(tmp_path / "equal" / "log", seed=1)
    write_shadow(tmp_path / "worse" / "log", seed=1, error=2.0)

    assert find(tmp_path / "equal" / "log").verdict == "not yet"
    worse = find(tmp_path / "worse" / "log")
    assert worse.verdict == "worse"
    assert "the challenger is worse" in worse.sentence


def test_a_day_counts_once_its_labels_are_there_and_a_pair_needs_both_answers(tmp_path):
    write_shadow(tmp_path / "log", days=10, labelled=9 * 60 + 30, missing=set(range(5)))

    found = find(tmp_path / "log")

    assert [day.day for day in found.days] == [f"2026-01-0{day}" for day in range(1, 10)]
    assert found.days[0].num_rows == 55
    assert found.maturing == ["2026-01-10"]
    assert "waiting for labels: 1 day" in found.sentence


def test_a_day_does_not_wait_for_rows_that_have_no_label_for_good(tmp_path):
    write_shadow(tmp_path / "log", days=2, labelled=100)
    pl.DataFrame({"id": [str(row) for row in range(100, 120)], "label": [None] * 20}).write_csv(tmp_path / "lost.csv")
    before = find(tmp_path / "log").maturing

    later = BEGIN + timedelta(hours=1)
    store_labels(tmp_path / "lost.csv", log=tmp_path / "log", by=["id"], label="label", empty="never", now=later)

    assert before == ["2026-01-02"]
    assert [(day.day, day.num_rows) for day in find(tmp_path / "log").days] == [("2026-01-01", 60), ("2026-01-02", 40)]


def test_rows_of_later_are_not_looked_at(tmp_path):
    write_shadow(tmp_path / "log", days=10)

    found = find(tmp_path / "log", now=BEGIN + timedelta(days=3))

    assert [day.day for day in found.days] == [f"2026-01-0{day}" for day in range(1, 4)]


def test_the_logs_of_several_servers_are_read_together(tmp_path):
    write_shadow(tmp_path / "one", days=30, error=0.1)
    (tmp_path / "log").mkdir()
    for server, kept in (("a", slice(0, 900)), ("b", slice(900, None))):
        for inside in (".", "shadow"):
            (tmp_path / "log" / server / inside).mkdir(exist_ok=True)
            (file,) = (tmp_path / "one" / inside).glob("*.parquet")
            pl.read_parquet(file)[kept].write_parquet(tmp_path / "log" / server / inside / f"{server}.parquet")
    (tmp_path / "one" / "labels").rename(tmp_path / "log" / "labels")

    found = find(tmp_path / "log")

    assert (len(found.days), found.verdict) == (30, "better")


def test_one_day_says_nothing(tmp_path):
    write_shadow(tmp_path / "log", days=1)

    found = find(tmp_path / "log")

    assert found.sentence.startswith("not yet: 1 day of labels, which say nothing")
    assert found.to_plain()["gain"]["low"] is None


def test_no_labels_and_no_challenger_are_told(tmp_path):
    log = tmp_path / "log"
    write(log, [Record("1", BEGIN, CHAMPION, 1.0, (), {"probability": 0.5})])
    with pytest.raises(TreadleError, match="has no labels yet: `treadle feedback FILE --log"):
        find(log)
    (tmp_path / "labels.csv").write_text("id,label\n1,0\n")
    store_labels(tmp_path / "labels.csv", log=log, by=["id"], label="label", empty="awaited", now=BEGIN)
    with pytest.raises(TreadleError, match="no row of the challenger bbbb"):
        find(log)
    with pytest.raises(TreadleError, match="no column 'prediction'"):
        find(log, card=Card.model_construct(task="regression", classes=[]))


# --- between groups of keys


def write_split(folder, *, seed, keys=40, days=20, rows=3, gain=0.0, hard=1.0):
    """Keys stay with their bundle; some keys are hard for both, by `hard`."""
    generator = np.random.default_rng(seed)
    level = hard * generator.normal(size=keys)
    own = generator.permutation(keys) < keys // 2
    records, labels = [], []
    for day in range(days):
        for key in range(keys):
            for row in range(rows):
                sure = 1.5 + level[key] + (gain if own[key] else 0.0)
                label = int(generator.random() < 0.5)
                right = 1 / (1 + np.exp(-sure))
                probability = float(right if label else 1 - right)
                identity = f"{day}.{key}.{row}"
                digest = CHALLENGER if own[key] else CHAMPION
                time = BEGIN + timedelta(days=day)
                records.append(Record(identity, time, digest, 1.0, (), {"probability": probability}, str(key)))
                labels.append({"id": identity, "label": label})
    write(folder, records, keyed=True)
    pl.DataFrame(labels).write_csv(folder.parent / "labels.csv")
    store_labels(folder.parent / "labels.csv", log=folder, by=["id"], label="label", empty="awaited", now=BEGIN)


def test_a_group_of_hard_keys_is_not_taken_for_a_worse_bundle(tmp_path):
    """Days alone would say it at once: the same keys are hard on each of them."""
    write_split(tmp_path / "log", seed=3)

    found = find(tmp_path / "log")

    from treadle.rollout.sequence import bound_mean

    by_days = bound_mean([day.gain for day in found.days], alpha=0.05)
    assert by_days.is_above or by_days.is_below
    assert (found.kind, found.verdict) == ("canary", "not yet")
    assert "between keys" in found.sentence


def test_a_bundle_that_is_much_better_for_alike_keys_is_found(tmp_path):
    write_split(tmp_path / "log", seed=4, gain=2.0, hard=0.1)

    assert find(tmp_path / "log").verdict == "better"


def test_too_few_keys_are_told(tmp_path):
    write_split(tmp_path / "log", seed=5, keys=2)

    found = find(tmp_path / "log")

    assert found.verdict == "not yet"
    assert found.notes == ["there are too few keys in a group to tell its keys from its bundle"]
