"""An exported graph answers only where it gives the bundle's numbers; which engine answered can be read."""

import shutil
from dataclasses import replace

import pytest

from runs import ROOT
from treadle.bundle import load
from treadle.champions.bundles import digest_bundle
from treadle.config.serving import read_serving
from treadle.errors import TreadleError
from treadle.serving.engines import choose_engine
from treadle.serving.scorer import Scorer
from treadle.serving.service import Service, Source

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("exported")]


@pytest.fixture
def copy(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "people")
    return tmp_path / "people"


def choose(folder, wanted="auto", **changed):
    bundle = load(folder)
    given = {"exports": folder / "export", "digest": digest_bundle(folder), **changed}
    return bundle, *choose_engine(bundle, wanted=wanted, **given)


def start(folder, *overrides):
    return Service(Source(str(folder), ROOT), read_serving(overrides, root=ROOT), count_waiting=lambda: 0)


def test_an_engine_gives_the_answers_of_torch(exported, rows):
    bundle, engine, why = choose(exported)
    odd = {**rows[0], "age": "39"}

    by_engine, by_torch = Scorer(bundle, engine), Scorer(bundle)
    found, wanted = by_engine.ask([*rows, odd]), by_torch.ask([*rows, odd])

    assert (by_engine.engine, by_torch.engine, why) == ("onnx", "eager", "")
    pairs = [(a.prediction["probability"], b.prediction["probability"]) for a, b in zip(found, wanted, strict=True)]
    assert max(abs(a - b) for a, b in pairs) <= 1e-6
    assert [a.cells for a in found] == [b.cells for b in wanted]


def test_rows_that_only_polars_reads_are_computed_by_the_engine_too(exported, rows):
    bundle, engine, _ = choose(exported)
    scorer = Scorer(bundle, engine)
    wanted = [answer.prediction["probability"] for answer in scorer.ask(rows[:5])]
    scorer._program = None  # noqa: SLF001 - as of a bundle that has none

    found = [answer.prediction["probability"] for answer in scorer.ask(rows[:5])]

    assert found == wanted


def test_the_server_takes_an_onnx_export_by_itself_and_says_so(exported, rows):
    service = start(exported)

    service.score(rows[:3])

    assert service.current.scorer.engine == "onnx"
    assert 'treadle_engine_rows_total{bundle="' in (text := service.metrics.write().decode())
    assert f'engine="onnx",model="{service.name}"}} 3.0' in text
    assert start(exported, "serving.engine=eager").current.scorer.engine == "eager"


def test_a_graph_that_gives_other_numbers_is_not_used(copy, caplog):
    bundle = load(copy)
    file = copy / "export" / "onnx" / "model.onnx"
    weights = bundle.model.head.bias
    old = weights.detach().numpy().tobytes()
    content = file.read_bytes()
    assert content.count(old) == 1
    file.write_bytes(content.replace(old, (weights.detach() + 0.01).numpy().tobytes()))

    service = start(copy)

    assert service.current.scorer.engine == "eager"
    assert "does not give the bundle's numbers: row" in caplog.text
    with pytest.raises(TreadleError, match=r"serving.engine=onnx: .*does not give the bundle's numbers"):
        start(copy, "serving.engine=onnx")


@pytest.mark.parametrize("damage", ["torn", "no rows", "no signature"])
def test_a_damaged_export_is_not_used(copy, damage):
    folder = copy / "export" / "onnx"
    if damage == "torn":
        (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:1000])
    elif damage == "no rows":
        (folder / "parity.parquet").write_bytes(b"x")
    else:
        (folder / "signature.json").write_text('{"format": 1}')

    _, engine, why = choose(copy)

    assert engine is None
    said = {"torn": "model.onnx cannot be used", "no rows": "parity.parquet", "no signature": "signature.json"}
    assert said[damage] in why


def test_an_export_of_another_bundle_is_not_used(exported):
    _, engine, why = choose(exported, digest="f" * 64)

    assert engine is None
    assert "is the graph of the bundle" in why


def test_what_was_asked_for_by_name_must_be_there(exported):
    with pytest.raises(TreadleError, match=r"serving.engine=aoti: there is no export for the engine aoti: .*--to aoti"):
        start(exported, "serving.engine=aoti")
    bundle, engine, why = choose(exported, exports=None)
    assert (engine, why) == (None, "")
    assert "for networks alone" in choose_engine(replace(bundle, model=None), wanted="onnx", exports=None, digest="")[1]


def test_a_later_bundle_without_an_export_is_computed_by_torch(copy, run, caplog):
    service = start(copy, "serving.engine=onnx")
    shutil.rmtree(copy / "export")
    card = copy / "bundle" / "bundle.json"
    card.write_text(card.read_text() + "\n")

    assert service.reload()

    assert service.current.scorer.engine == "eager"
    assert "torch itself computes the predictions" in caplog.text
