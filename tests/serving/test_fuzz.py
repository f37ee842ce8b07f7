"""Whatever a client sends, the server answers, and never by a fault of its own."""

import random
import resource

import orjson
import pytest

from served import open_client

PATHS = ("/predict", "/v2/models/people-0a1b2c3d/infer", "/invocations")
CODES = {200, 400, 413, 422}
VALUES = (
    None,
    True,
    -1,
    0,
    2**63,
    2**64 - 1,
    -0.0,
    1e308,
    1e-320,
    "",
    "?",
    " ",
    "\x00",
    "NaN",
    "é" * 50,
    [],
    {},
    [[]],
    {"a": {}},
)


def make_body(draw, rows):
    """A body of one of the protocols with some values, keys or bytes changed."""
    row = dict(draw.choice(rows))
    for name in draw.sample(list(row), draw.randint(0, 3)):
        if draw.random() < 0.2:
            del row[name]
        else:
            row[name] = draw.choice(VALUES)
    few = [row, draw.choice(rows)][: draw.randint(0, 2)]
    tensors = [{"name": name, "datatype": "FP64", "shape": [1], "data": [value]} for name, value in row.items()]
    body = draw.choice(
        [
            row,
            few,
            {"rows": few},
            {"inputs": tensors},
            {"inputs": draw.sample(tensors, 2)},
            {"dataframe_records": few},
            {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
            {"instances": draw.choice(VALUES)},
            draw.choice(VALUES),
        ]
    )
    data = bytearray(orjson.dumps(body))
    for _ in range(draw.choice([0, 0, 1, 3])):
        data[draw.randrange(len(data)) :: 10_000] = draw.randbytes(1)
    return bytes(data[: draw.choice([len(data), len(data), draw.randint(0, len(data))])])


def bombard(client, rows, *, seed, count):
    """The answers' codes that are none of those expected, each with what was sent."""
    draw = random.Random(seed)  # noqa: S311 - for test data
    wrong = []
    for _ in range(count):
        body = make_body(draw, rows)
        answer = client.post(draw.choice(PATHS), content=body)
        if answer.status_code not in CODES or (answer.status_code != 200 and not answer.json()):
            wrong.append((answer.status_code, body))
    return wrong


@pytest.mark.slow
def test_no_body_is_a_fault_of_the_server(client, rows):
    assert bombard(client, rows, seed=0, count=300) == []


@pytest.mark.exhaustive
def test_a_hundred_thousand_bodies_take_no_memory(run, rows):
    with open_client(run) as client:
        assert bombard(client, rows, seed=1, count=10_000) == []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert bombard(client, rows, seed=2, count=90_000) == []
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
