"""A canary answers a share of the keys, always the same ones, and costs nobody an answer."""

from dataclasses import replace

import orjson
import pytest

import treadle
from served import ROOT, make_bundle, open_client, save_run
from treadle.champions.bundles import digest_bundle
from treadle.config.serving import read_serving
from treadle.errors import TreadleError
from treadle.experiment.spec import Column
from treadle.serving.canary import draw
from treadle.serving.log import scan_log
from treadle.serving.service import Service, Source

PATIENT = "serving.limits.seconds=60"  # on a busy machine


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return save_run(make_bundle("adult", num_rows=400), tmp_path_factory.mktemp("other") / "other")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("canary") / "log"


@pytest.fixture(scope="module")
def client(run, other, log):
    canary = [f"serving.canary.bundle={other}", "serving.canary.share=0.3", "serving.canary.key=customer"]
    with open_client(run, f"serving.log.folder={log}", "serving.reload=null", PATIENT, *canary) as opened:
        yield opened


def post(client, rows):
    return client.post("/predict", content=orjson.dumps(rows)).json()


@pytest.mark.slow
def test_each_row_is_answered_by_the_bundle_of_its_key(client, run, other, rows, log):
    """The key is no column of the model."""
    asked = [{**row, "customer": f"c{place % 50}"} for place, row in enumerate(rows)]
    first, second = digest_bundle(run), digest_bundle(other)

    found = post(client, asked)

    own = [draw(row["customer"], salt=second) < 0.3 for row in asked]
    assert 20 < sum(own) < 100
    assert found["bundles"] == [second if is_own else first for is_own in own]
    wanted = {True: treadle.load(other).predict(rows), False: treadle.load(run).predict(rows)}
    for place, is_own in enumerate(own):
        expected = wanted[is_own]["probability"][place]
        assert found["predictions"][place]["probability"] == pytest.approx(expected, abs=1e-6)
    again = post(client, asked[7])
    assert again["bundles"] == [found["bundles"][7]]
    client.application.service.flush()
    recorded = scan_log(log).collect()
    assert dict(zip(recorded["id"], recorded["bundle"], strict=True)) == {
        **{f"{found['id']}.{place}": digest for place, digest in enumerate(found["bundles"])},
        f"{again['id']}.0": found["bundles"][7],
    }
    assert recorded["key"].n_unique() == 50
    assert not set(recorded["key"]) & {row["customer"] for row in asked}
    assert recorded.group_by("key").agg("bundle")["bundle"].list.n_unique().max() == 1


def test_a_row_without_the_key_goes_to_the_champion(client, run, rows):
    for odd in ({}, {"customer": None}, {"customer": ["c1"]}):
        assert post(client, {**rows[0], **odd})["bundles"] == [digest_bundle(run)]


def test_bad_rows_are_told_by_the_champion(client, run, rows):
    bad = [{**rows[0], "customer": str(number), "age": "old"} for number in range(20)]

    found = post(client, bad)

    assert set(found["bundles"]) == {digest_bundle(run)}
    assert [error["row"] for error in found["errors"]] == list(range(20))


def test_a_row_that_the_canary_alone_refuses_is_answered_by_the_champion(run, rows, tmp_path):
    bundle = make_bundle("adult", num_rows=400)
    people = bundle.table
    stricter = people.model_copy(update={"columns": people.columns | {"age": Column(dtype="int", max=50)}})
    data = bundle.recipe.data.model_copy(update={"tables": {"people": stricter}})
    strict = replace(bundle, recipe=bundle.recipe.model_copy(update={"data": data}))
    canary = [f"serving.canary.bundle={save_run(strict, tmp_path / 'strict')}", "serving.canary.share=1.0"]

    with open_client(run, "serving.reload=null", PATIENT, "serving.canary.key=customer", *canary) as client:
        asked = [{**rows[0], "customer": "c1", "age": age} for age in (40, 60)]
        answer = client.post("/predict", content=orjson.dumps(asked))
        told = client.get("/metrics").text

    assert answer.status_code == 200
    assert answer.json()["bundles"] == [digest_bundle(tmp_path / "strict"), digest_bundle(run)]
    assert next(line for line in told.splitlines() if "canary_refusals_total{" in line).endswith(" 1.0")


def test_a_canary_that_fails_costs_nobody_an_answer(client, run, rows, monkeypatch):
    asked = [{**rows[0], "customer": str(number)} for number in range(20)]
    canary = client.application.service.canary.served

    def fail(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(canary.answerer, "ask", fail)
    found = post(client, asked)

    assert set(found["bundles"]) == {digest_bundle(run)}
    assert all(found["predictions"])
    assert "treadle_canary_failures_total{" in client.get("/metrics").text


def test_the_same_key_is_drawn_alike_in_whatever_type_it_comes_and_anew_for_the_next_bundle():
    assert draw(1, salt="a") == draw(1.0, salt="a") == draw("1", salt="a")
    assert draw(1, salt="a") != draw(1, salt="b")
    drawn = [draw(number, salt="a") for number in range(4_000)]
    assert 0.08 < sum(each < 0.1 for each in drawn) / 4_000 < 0.12


@pytest.mark.slow
def test_a_canary_without_a_key_or_with_other_outputs_is_refused(run, other, tmp_path):
    def open_service(*overrides):
        serving = read_serving([f"serving.canary.bundle={other}", *overrides], root=ROOT)
        return Service(Source(str(run), ROOT), serving, count_waiting=lambda: 0)

    with pytest.raises(TreadleError, match=r"serving\.canary\.key is needed"):
        open_service()
    california = save_run(make_bundle("california", num_rows=300), tmp_path / "california")
    with pytest.raises(TreadleError, match="it must give what the champion gives; found prediction and probability"):
        open_service("serving.canary.key=customer", f"serving.canary.bundle={california}")
