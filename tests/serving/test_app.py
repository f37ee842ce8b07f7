"""A server answers what a batch predicts, and says what is wrong with the rest."""

import re
import threading

import orjson
import pytest

import treadle
from served import make_bundle, open_client, save_run


def post(client, path, body):
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return client.post(path, content=data, headers={"content-type": "application/json"})


@pytest.fixture(scope="module")
def wanted(run, rows):
    return treadle.load(run).predict(rows)["probability"].to_list()


@pytest.mark.slow
def test_rows_get_what_a_batch_predicts(client, rows, wanted):
    answer = post(client, "/predict", rows)

    assert answer.status_code == 200
    assert [row["probability"] for row in answer.json()["predictions"]] == wanted
    assert answer.json()["model"] == "people-0a1b2c3d"


def test_a_row_alone_gets_its_prediction(client, rows, wanted):
    for form in (rows[0], [rows[0]], {"rows": [rows[0]]}):
        (found,) = post(client, "/predict", form).json()["predictions"]
        assert found["probability"] == pytest.approx(wanted[0], abs=1e-6)


def test_the_open_inference_protocol_takes_columns_as_tensors(client, rows, wanted):
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [200], "data": [row[name] for row in rows]} for name in rows[0]
    ]
    inputs[0] |= {"shape": [200, 1], "data": [[value] for value in inputs[0]["data"]]}

    answer = post(client, "/v2/models/people-0a1b2c3d/infer", {"id": "1", "inputs": inputs}).json()

    (output,) = answer["outputs"]
    assert (output["name"], output["shape"], output["data"]) == ("probability", [200], wanted)
    model = client.get("/v2/models/people-0a1b2c3d").json()
    assert [tensor["name"] for tensor in model["inputs"]] == list(rows[0])
    assert (
        client.get("/v2/health/ready").status_code == client.get("/v2/models/people-0a1b2c3d/ready").status_code == 200
    )


def test_mlflows_protocol_takes_its_four_forms(client, rows, wanted):
    split = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for form in (
        {"dataframe_split": split},
        {"dataframe_records": rows},
        {"instances": rows},
        {"inputs": columns},
    ):
        assert post(client, "/invocations", form).json() == {"predictions": wanted}


def test_bad_rows_are_named_and_the_others_answered(client, rows, wanted):
    few = [dict(row) for row in rows[:6]]
    few[1]["age"] = "old"
    few[2]["age"] = 300
    del few[3]["education"]
    few[4] = ["no", "row"]

    answer = post(client, "/predict", few)

    assert answer.status_code == 422
    found = answer.json()
    assert [row and row["probability"] for row in found["predictions"]] == [
        pytest.approx(wanted[0], abs=1e-6), None, None, None, None, pytest.approx(wanted[5], abs=1e-6),
    ]  # fmt: skip
    assert [(each["row"], each["column"], each["value"]) for each in found["errors"]] == [
        (1, "age", "old"),
        (2, "age", "300"),
        (3, "education", None),
        (4, None, "a list of 2"),
    ]
    rules = [each["rule"] for each in found["errors"]]
    assert rules[:2] == ["the column 'age' must be of type Int64", "must be at most 120"]
    assert "Did you mean 'educational-num'?" in rules[2]


@pytest.mark.parametrize(
    "body",
    [
        b'{"age": NaN}',
        b'{"age": 1e400}',
        b'{"age": ' + b"9" * 401 + b"}",
        b'{"age": "\xff\xfe"}',
        b'{"age": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'"a text"',
        b"",
    ],
    ids=["nan", "infinite", "huge", "bytes", "surrogate", "lists", "objects", "text", "empty"],
)
@pytest.mark.parametrize("path", ["/predict", "/v2/models/people-0a1b2c3d/infer", "/invocations"])
def test_what_is_no_json_of_its_form_answers_400(client, path, body):
    answer = post(client, path, body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the body ")


OIP, MLFLOW = "/v2/models/people-0a1b2c3d/infer", "/invocations"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (OIP, {}),
        (OIP, {"inputs": []}),
        (OIP, {"inputs": [{"name": "age", "shape": [1], "data": "x"}]}),
        (OIP, {"inputs": [{"name": "age", "shape": [3], "data": [1]}]}),
        (OIP, {"inputs": [{"name": "a", "shape": [1], "data": [1]}, {"name": "b", "shape": [2], "data": [1, 2]}]}),
        (MLFLOW, {}),
        (MLFLOW, {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}),
        (MLFLOW, {"dataframe_split": {"columns": [1], "data": [[1]]}}),
        (MLFLOW, {"dataframe_records": {"a": 1}}),
        (MLFLOW, {"inputs": {"a": [1, 2], "b": [1]}}),
        (MLFLOW, {"instances": [], "dataframe_records": []}),
    ],
    ids=str,
)
def test_another_form_than_the_protocols_answers_400(client, path, body):
    assert post(client, path, body).status_code == 400


@pytest.mark.slow
def test_a_million_keys_are_no_harm(client, rows):
    wide = {**rows[0], **{str(key): 0 for key in range(500_000)}}
    without = {name: value for name, value in wide.items() if name != "age"}

    assert post(client, "/predict", wide).status_code == 200
    assert post(client, "/predict", without).json()["errors"][0]["column"] == "age"


def test_no_rows_have_no_predictions(client):
    assert post(client, "/predict", []).json()["predictions"] == []


def test_limits_of_rows_and_size_answer_413(run, rows):
    with open_client(run, "serving.limits.rows=10", "serving.limits.body_mb=0.01") as client:
        assert post(client, "/predict", rows[:10]).status_code == 200
        for many in (rows[:11], [*rows, *rows]):
            assert post(client, "/predict", many).status_code == 413

        def send():
            yield from (b" " * 1_000 for _ in range(20))

        assert client.post("/predict", content=send()).status_code == 413


def test_a_burst_beyond_the_queue_answers_503_and_one_that_waits_too_long_504(run, rows):
    with open_client(run, "serving.limits.queue=2", "serving.limits.seconds=2") as client:
        release, batcher, codes = threading.Event(), client.application.batcher, []
        score = batcher.score
        batcher.score = lambda given: (release.wait(10), score(given))[1]

        def ask():
            codes.append(post(client, "/predict", rows[0]))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        release.set()
        batcher.score = score

        found = [answer.status_code for answer in codes]
        assert found.count(503) >= 10  # 17 where all are sent before the first one is given up
        assert found.count(504) == 20 - found.count(503) >= 1
        assert all(answer.headers["retry-after"] == "1" for answer in codes if answer.status_code == 503)
        later = (post(client, "/predict", rows[0]).status_code for _ in range(1_000))
        assert 200 in later  # once those that were given up have been dropped


def test_a_fault_of_the_server_answers_500_and_is_counted(run, rows):
    with open_client(run) as client:
        batcher = client.application.batcher
        score, batcher.score = batcher.score, lambda _: 1 / 0
        answer = post(client, "/predict", rows[0])
        batcher.score = score

        assert answer.status_code == 500
        assert answer.json() == {"error": "the server has failed; its log says how"}
        assert answer.headers["connection"] == "close"
        assert 'code="500"' in client.get("/metrics").text
        assert post(client, "/predict", rows[0]).status_code == 200


def test_a_token_is_asked_for_except_by_health(run, rows):
    with open_client(run, token="secret-ä") as client:  # noqa: S106 - of a test
        for wrong in ({}, {"authorization": "Bearer no"}, {"authorization": "secret"}):
            for path in ("/metrics", "/docs", "/openapi.json", "/v2"):
                assert client.get(path, headers=wrong).status_code == 401
            assert client.post("/predict", content=orjson.dumps(rows[0]), headers=wrong).status_code == 401
        right = {"authorization": "Bearer secret-ä".encode()}
        assert client.post("/predict", content=orjson.dumps(rows[0]), headers=right).status_code == 200
        assert client.get("/health/live").status_code == 200


def test_it_describes_itself(client, rows):
    document = client.get("/openapi.json").json()
    page = client.get("/docs").text

    row = document["components"]["schemas"]["Row"]
    assert row["required"] == list(rows[0])
    assert row["properties"]["age"] == {"type": "integer", "minimum": 0, "maximum": 120}
    assert row["properties"]["workclass"]["anyOf"][1] == {"type": "null"}
    assert "http" not in page.replace("http-equiv", "").split("<body>")[0]
    assert "hours-per-week" in page


def test_metrics_count_requests_and_rows(client, rows):
    post(client, "/predict", rows[:3])
    text = client.get("/metrics").text

    bundle = client.application.service.current.digest[:12]
    assert f'treadle_requests_total{{bundle="{bundle}",code="200",model="people-0a1b2c3d",protocol="rows"}}' in text
    assert 'outcome="predicted"' in text
    assert "treadle_waiting_rows 0.0" in text


def test_other_paths_and_methods_are_told_so(client):
    assert client.get("/nothing").json() == {"error": "Not Found"}
    assert client.get("/predict").status_code == 405


@pytest.mark.slow
def test_it_has_the_name_and_speaks_the_protocols_that_it_is_given(tmp_path, rows):
    run = save_run(make_bundle("adult", num_rows=500, model="linear"), tmp_path / "linear")

    with open_client(run, "serving.name=other", "serving.protocols=[rows]") as client:
        assert post(client, "/predict", rows).json()["model"] == "other"
        assert client.post("/invocations").status_code == 404


def test_the_dashboard_asks_for_metrics_that_there_are(client, rows, root):
    post(client, "/predict", rows[:1])
    names = set(re.findall(r"^(treadle_\w+)", client.get("/metrics").text, flags=re.MULTILINE))
    text = (root / "docs" / "how-to" / "serve.grafana.json").read_text()

    asked = set(re.findall(r"treadle_\w+", text))
    assert len(asked) >= 9
    assert asked <= names
