"""A folder for a container has what a server needs, and nothing of training."""

import os
import subprocess
import sys

import httpx
import orjson
import pytest

from runs import ROOT
from treadle.bundle import load
from treadle.champions.bundles import digest_bundle
from treadle.errors import TreadleError
from treadle.export.export import find_exports
from treadle.serving.engines import choose_engine
from treadle.serving.package import add_needed, package
from treadle.serving.service import Source


@pytest.mark.slow
def test_the_folder_serves_by_itself(run, rows, tmp_path):
    requirements = package(Source(str(run), ROOT), into=tmp_path / "box")

    names = {line.partition("==")[0].lower() for line in requirements}
    assert names >= {"torch", "polars", "starlette", "uvicorn", "uvloop", "httptools", "orjson", "hydra-core"}
    assert names >= {"sympy", "h11"}  # which torch and uvicorn import only where they are wanted
    assert names.isdisjoint({"treadle", "pytorch-lightning", "lightning", "wandb", "dvc", "optuna", "pytest"})
    assert names.isdisjoint({"scikit-learn", "scipy", "pandas", "matplotlib"})
    assert "+" not in "".join(requirements)
    text = (tmp_path / "box" / "Dockerfile").read_text()
    assert text.endswith(
        '["python", "-m", "treadle", "serve", "bundle", "serving.host=0.0.0.0", "serving.name=people-0a1b2c3d"]\n'
    )

    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "box" / "code")}
    command = [sys.executable, "-m", "treadle", "serve", "bundle", "serving.port=0", "serving.name=people"]
    with subprocess.Popen(command, cwd=tmp_path / "box", env=environment, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[-1].removesuffix("/docs")
        answer = httpx.post(f"{address}/predict", content=orjson.dumps(rows[0]), timeout=60)
        process.terminate()
    assert answer.status_code == 200
    assert answer.json()["model"] == "people"


@pytest.mark.slow
def test_an_export_goes_with_the_bundle_and_answers_there(exported, tmp_path):
    requirements = package(Source(str(exported), ROOT), into=tmp_path / "box")

    assert "onnxruntime" in {line.partition("==")[0] for line in requirements}
    digest = digest_bundle(tmp_path / "box" / "bundle")
    exports = find_exports(tmp_path / "box" / "bundle")
    engine, why = choose_engine(load(tmp_path / "box"), wanted="auto", exports=exports, digest=digest)
    assert (engine.name, why) == ("onnx", "")


def test_a_folder_that_holds_something_is_left_as_it_is(run, tmp_path):
    (tmp_path / "mine").write_text("kept")

    with pytest.raises(TreadleError, match="exists already"):
        package(Source(str(run), ROOT), into=tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_requirement_that_is_not_installed_is_left_out(tmp_path, monkeypatch):
    """As where a package was installed without what it asks for."""
    for name, needed in {"one": ["two", "absent"], "two": []}.items():
        folder = tmp_path / f"treadle_{name}-1.0.dist-info"
        folder.mkdir()
        asked = "".join(f"Requires-Dist: treadle-{other}\n" for other in needed)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: treadle-{name}\nVersion: 1.0\n{asked}")
    monkeypatch.syspath_prepend(tmp_path)

    assert add_needed(["treadle-one"]) == {"treadle-one", "treadle-two"}
