from treadle.sweeps.answer import rank
from treadle.sweeps.ledger import Trial


def make(number, width, seed, value, *, phase="search", state="done"):
    return Trial(
        number, {"model.width": width}, seed, phase, "r", state=state, values=None if value is None else [value]
    )


def list_widths(rows):
    return [row.setting["model.width"] for row in rows]


def test_settings_are_ranked_by_the_mean_of_their_seeds():
    trials = [make(1, "8", 0, 0.5), make(2, "8", 1, 0.7), make(3, "16", 0, 0.58), make(4, "16", 1, 0.6)]
    rows = rank(trials, higher_is_better=False)
    assert list_widths(rows) == ["16", "8"]
    assert (rows[0].mean, len(rows[0].scores)) == (0.59, 2)
    assert list_widths(rank(trials, higher_is_better=True)) == ["8", "16"]


def test_a_difference_within_the_noise_of_seeds_is_a_tie():
    noisy = [make(s, "8", s, v) for s, v in enumerate([0.5, 0.7, 0.6])]
    noisy += [make(9 + s, "16", s, v) for s, v in enumerate([0.62, 0.58, 0.58])]
    assert [row.is_tied for row in rank(noisy, higher_is_better=False)] == [False, True]
    # As far apart on the average, and the same order on every seed.
    clear = [make(s, "8", s, v) for s, v in enumerate([0.5, 0.7, 0.6])]
    clear += [make(9 + s, "16", s, v + 0.01) for s, v in enumerate([0.5, 0.7, 0.6])]
    assert [row.is_tied for row in rank(clear, higher_is_better=False)] == [False, False]


def test_one_seed_shows_no_tie():
    rows = rank([make(1, "8", 0, 0.5), make(2, "16", 0, 0.5)], higher_is_better=False)
    assert [(row.is_tied, row.spread) for row in rows] == [(False, None)] * 2


def test_confirmed_settings_are_ranked_first_and_by_their_fresh_seeds():
    trials = [make(1, "8", 0, 0.1), make(2, "16", 0, 0.2), make(3, "32", 0, 0.15)]
    trials += [make(4 + i, "8", 5 + i, 0.3 + i / 100, phase="confirm") for i in range(2)]
    trials += [make(6 + i, "16", 5 + i, 0.2 + i / 100, phase="confirm") for i in range(2)]
    rows = rank(trials, higher_is_better=False)
    assert list_widths(rows) == ["16", "8", "32"]
    assert [row.is_confirmed for row in rows] == [True, True, False]
    assert [replicate.seed for replicate in rows[0].scores] == [5, 6]


def test_a_setting_with_a_seed_that_failed_has_no_rank():
    trials = [make(1, "8", 0, 0.1), make(2, "8", 1, None, state="failed"), make(3, "16", 0, 0.2), make(4, "16", 1, 0.2)]
    assert list_widths(rank(trials, higher_is_better=False)) == ["16"]


def test_a_setting_that_is_not_finished_has_no_rank_yet():
    trials = [
        make(1, "8", 0, 0.1),
        make(2, "8", 1, None, state="running"),
        make(3, "16", 0, 0.2),
        make(4, "16", 1, 0.2),
    ]
    assert list_widths(rank(trials, higher_is_better=False)) == ["16"]


def test_a_setting_under_confirmation_keeps_its_rank_in_the_search():
    trials = [make(1, "8", 0, 0.1), make(2, "8", 5, None, phase="confirm", state="running"), make(3, "16", 0, 0.2)]
    rows = rank(trials, higher_is_better=False)
    assert [(row.setting["model.width"], row.is_confirmed) for row in rows] == [("8", False), ("16", False)]
