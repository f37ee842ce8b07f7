"""A bill of materials of a model in CycloneDX 1.6: its files, its data, its packages, and the model card's numbers.

The specification is ECMA-424; `modelCard` is its extension for machine learning (ML-BOM).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from treadle.champions.bundles import CARD, digest_bundle
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.evaluation.evaluated import MODEL
from treadle.evaluation.model_card import Evidence
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.json_files import read_json
from treadle.lineage.graph import trace_experiment
from treadle.metrics.registry import list_metrics
from treadle.schema import SPLITS

Plain = dict[str, Any]
# Which packages a prediction imports, is seen in a process that does nothing else.
_PROBE = """
import json, sys
from pathlib import Path
from treadle.bundle import load
load(Path(sys.argv[1]), targets=json.loads(sys.argv[2]), code="any")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def make_bom(folder: RunFolder, *, root: Path) -> Plain:
    """The bill of materials of a run: the same for the same run, data and packages.

    Args:
        folder: of an evaluated run.
        root: the project, whose `*.dvc` files tell the versions of the data.

    Raises:
        TreadleError: the run is of a learner, or its bundle does not load here.
    """
    resolved = folder.resolved if folder.resolved.is_file() else folder.path.parent / folder.resolved.name
    experiment = read(resolved).experiment
    if not isinstance(experiment, Experiment):
        raise TreadleError(f"{folder.path} holds a learner of your own: it has no bill of materials yet")
    digest = digest_bundle(folder.path)
    data = [*list_versions(experiment, root), *_list_splits(folder)]
    packages = list(_list_packages(folder, experiment))
    model = _describe_model(folder, experiment, digest=digest, data=data)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest).urn,
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "treadle", "version": metadata.version("treadle")}]
            },
            "component": model,
        },
        "components": [*data, *packages],
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": [part["bom-ref"] for part in (*data, *packages)]},
            *({"ref": part["bom-ref"]} for part in (*data, *packages)),
        ],
    }


def _describe_model(folder: RunFolder, experiment: Experiment, *, digest: str, data: Sequence[Plain]) -> Plain:
    files = {CARD: digest, **read_json(folder.bundle / CARD)["files"]}
    licence, owners = experiment.card.licence, experiment.card.owners
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{digest[:16]}",
        "name": experiment.name,
        "version": digest[:16],
        **({"description": experiment.card.summary} if experiment.card.summary else {}),
        **({"licenses": [{"license": {"name": licence}}]} if licence else {}),
        **({"authors": [{"name": owner} for owner in owners]} if owners else {}),
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "components": [
            {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": content}]}
            for name, content in files.items()
        ],
        "modelCard": _write_card(experiment, Evidence.read(folder), data=data),
    }


def _write_card(experiment: Experiment, evidence: Evidence, *, data: Sequence[Plain]) -> Plain:
    model = experiment.model
    architecture = model["_target_"] if isinstance(model, dict) else "a blend"
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": experiment.data.task,
            "modelArchitecture": architecture,
            "datasets": [{"ref": part["bom-ref"]} for part in data],
            "inputs": [{"format": name} for name in trace_experiment(experiment).features],
            "outputs": [{"format": f"prediction of {text}"} for text in experiment.data.examples.labels.values()],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_list_metrics(experiment, evidence))},
        **_write_considerations(experiment),
    }


def _list_metrics(experiment: Experiment, evidence: Evidence) -> Iterator[Plain]:
    """Of the model on the test split, then in each declared slice; numbers are texts there."""
    names = [metric.name for metric in list_metrics(experiment)]
    for name in names:
        if (value := evidence.metrics[MODEL].get(name)) is not None:
            yield {"type": name, "value": repr(value), "slice": "test", **_bound(evidence.get_interval(name))}
    for part, found in evidence.slices.get("declared", {}).items():
        for name in names:
            if found.get(name):
                yield {"type": name, "value": repr(found[name]["value"]), "slice": part, **_bound(found[name])}


def _bound(interval: Mapping[str, float] | None) -> Plain:
    if interval is None or interval.get("low") is None:
        return {}
    bounds = {"lowerBound": repr(interval["low"]), "upperBound": repr(interval["high"])}
    return {"confidenceInterval": bounds}


def _write_considerations(experiment: Experiment) -> Plain:
    card = experiment.card
    found: Plain = {
        "useCases": [card.intended_use] if card.intended_use else [],
        "technicalLimitations": [*card.limitations, *(f"Not made for: {use}" for use in card.out_of_scope)],
        "ethicalConsiderations": [{"name": card.ethical_considerations}] if card.ethical_considerations else [],
    }
    kept = {name: values for name, values in found.items() if values}
    return {"considerations": kept} if kept else {}


def list_versions(experiment: Experiment, root: Path) -> Iterator[Plain]:
    """The outputs of `*.dvc` files that hold a table, with DVC's digests: in the project, or on the way to a table."""
    root = root.absolute()
    paths = [root / table.path for table in experiment.data.tables.values()]
    folders = {root, *(folder for path in paths for folder in path.parents if root in folder.parents)}
    files = [file for folder in folders for file in folder.glob("*.dvc") if file.is_file()]  # `.dvc` itself is a folder
    for file in sorted(files):
        for out in (yaml.safe_load(read_text(file)) or {}).get("outs", []):
            place = file.parent / out["path"]
            if "md5" in out and any(place == path or place in path.parents for path in paths):
                digest = out["md5"]
                yield {
                    **_describe_data(place.relative_to(root).as_posix(), "MD5", digest.removesuffix(".dir")),
                    "properties": [{"name": "dvc:md5", "value": digest}],
                }


def _list_splits(folder: RunFolder) -> Iterator[Plain]:
    """The examples that it was trained, chosen and judged on."""
    for split in SPLITS:
        file = folder.examples / f"{split}.parquet"
        if file.is_file():
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            yield _describe_data(f"examples/{file.name}", "SHA-256", digest)


def _describe_data(name: str, algorithm: str, digest: str) -> Plain:
    return {
        "type": "data",
        "bom-ref": f"data:{name}",
        "name": name,
        "hashes": [{"alg": algorithm, "content": digest}],
        "data": [{"type": "dataset", "name": name}],
    }


def _list_packages(folder: RunFolder, experiment: Experiment) -> Iterator[Plain]:
    """The packages that a prediction imports, in the versions of this environment."""
    owners = metadata.packages_distributions()
    names = {name for module in _list_modules(folder, experiment) for name in owners.get(module, ())}
    for name in sorted(names, key=str.lower):
        version = metadata.version(name)
        reference = f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
        yield {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference}


def _list_modules(folder: RunFolder, experiment: Experiment) -> list[str]:
    command = [sys.executable, "-c", _PROBE, str(folder.path), json.dumps(experiment.targets)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own text
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TreadleError(f"{folder.bundle} does not load here: {reason}")
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules
