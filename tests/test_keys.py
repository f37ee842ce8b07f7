import pytest

from treadle.keys import ABSENT, climb, get, is_within, list_leaves, walk

TREE = {"a": {"b": [{"c": 1}, 2], "d": {}}, "torch.optim": {"lr": 0.1}, "torch": {"nn": None}}


def test_every_node_has_its_key_parents_first():
    assert [key for key, _ in walk(TREE)] == [
        "a",
        "a.b",
        "a.b.0",
        "a.b.0.c",
        "a.b.1",
        "a.d",
        "torch.optim",
        "torch.optim.lr",
        "torch",
        "torch.nn",
    ]


def test_lists_and_empty_mappings_are_leaves():
    leaves = {"a.b": [{"c": 1}, 2], "a.d": {}, "torch.optim.lr": 0.1, "torch.nn": None}

    assert dict(list_leaves(TREE)) == leaves


def test_what_walk_gives_stands_at_its_key():
    assert {key: get(TREE, key) for key, _ in walk(TREE)} == dict(walk(TREE))
    assert get(TREE, "") is TREE


@pytest.mark.parametrize("key", ["b", "a.b.2", "a.b.x", "a.b.-1", "a.b.1.c", "torch.nn.lr", "torch.op"])
def test_nothing_stands_at_another_key(key):
    assert get(TREE, key) is ABSENT


def test_a_key_is_within_its_sections_and_no_other():
    assert [section for section in climb("a.b.0") if is_within("a.b.0", section)] == ["a.b.0", "a.b", "a"]
    assert not is_within("schedules.x", "schedule")
