"""Identity: what can change a result changes a signature, and nothing else does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pydantic
import pytest
import yaml

from treadle.check.resolve import resolve
from treadle.experiment import fingerprint
from treadle.experiment.changes import find_reruns
from treadle.experiment.fingerprint import fingerprint_files
from treadle.experiment.identity import name_run, sign_stages
from treadle.experiment.imports import import_graph
from treadle.experiment.resolved import Resolved, read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment, LearnerExperiment
from treadle.experiment.stages import CODE, LEARNER_STAGES, STAGES, WITHOUT_EFFECT, get_stage
from treadle.pipeline.tracked import TRACKED
from treadle.pipeline.work import STAGE_FUNCTIONS

pytestmark = pytest.mark.fast_cases(3)

ROOT = Path(__file__).parents[2]
NAMES = [stage.name for stage in STAGES]


def sign(root, *overrides):
    resolved = resolve(overrides=list(overrides), root=root)
    return sign_stages(resolved, root=root), resolved


def changed(before, after):
    return [name for name in NAMES if before[name] != after[name]]


@pytest.mark.slow
@pytest.mark.sampled_cases(4)
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("data.split.gap=2d", NAMES),
        ("features.blocks.routes.steps.ids.num_buckets=99", NAMES[1:]),
        ("model.width=99", ["train", "evaluate"]),
        ("seed=1", ["train", "evaluate"]),
        ("loss=focal", ["train", "evaluate"]),
        ("loss.class_weights=balanced", ["train", "evaluate"]),
        ("schedule.sampling=balanced", ["train", "evaluate"]),
        ("augmentation=mixup", ["train", "evaluate"]),
        ("trainer.precision=bf16-mixed", ["train", "evaluate"]),
        ("trainer.compile=on", ["train", "evaluate"]),
        ("evaluation.threshold=0.4", ["evaluate"]),
        ("evaluation.calibrate=auto", ["train", "evaluate"]),
        ("evaluation.baselines=[prior]", ["baseline", "evaluate"]),
        ("trainer=ddp", ["train", "evaluate"]),
        ("trainer.num_nodes=2", ["train", "evaluate"]),
        ("trainer.strategy=ddp_spawn", ["train", "evaluate"]),
        ("trainer.devices=auto", []),  # which is one, without a GPU
        ("trainer.accelerator=auto", []),
        ("tracker=disabled", []),
        ("name=other", []),
    ],
)
def test_a_value_reaches_the_stages_that_depend_on_it(project, override, stages):
    before, _ = sign(project)
    after, _ = sign(project, override)

    assert changed(before, after) == stages


@pytest.mark.slow
def test_the_order_of_blocks_and_of_steps_reaches_the_features(project):
    before, resolved = sign(project)
    blocks = resolved.experiment.features.blocks
    name = next(name for name, block in blocks.items() if len(block.steps) > 1)
    steps = dict(reversed(blocks[name].steps.items()))
    turned = blocks[name].model_copy(update={"steps": steps})

    for found in (dict(reversed(blocks.items())), {**blocks, name: turned}):
        features = resolved.experiment.features.model_copy(update={"blocks": found})
        other = Resolved(resolved.experiment.model_copy(update={"features": features}), resolved.code)
        assert changed(before, sign_stages(other, root=project)) == NAMES[1:]
        assert find_reruns(resolved.values, other.values)["featurize"] == ["features.blocks (order)"]

    _, without = sign(project, f"~features.blocks.{name}.steps.{next(iter(steps))}")
    assert not any("order" in reason for reason in find_reruns(resolved.values, without.values)["featurize"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "stages"),
    [
        (["schedule=cosine", "schedule.batch_size=64"], []),
        (["schedule.monitor=auroc"], ["train", "evaluate"]),
        (["schedule.refit=all"], ["train", "evaluate"]),
        (["trainer.limit_batches=2"], ["train", "evaluate"]),
    ],
    ids=["what a network reads", "monitor", "refit", "limit"],
)
def test_of_the_schedule_only_what_trees_read_reaches_them(project, overrides, stages):
    before, _ = sign(project, "model=lightgbm")
    after, _ = sign(project, "model=lightgbm", *overrides)

    assert changed(before, after) == stages


def test_the_size_of_a_batch_reaches_trees_where_batches_are_limited(project):
    before, after = (sign(project, "model=lightgbm", "trainer=debug", f"schedule.batch_size={n}")[0] for n in (64, 128))

    assert changed(before, after) == ["train", "evaluate"]


@pytest.mark.parametrize(
    ("spec", "stages"), [(Experiment, STAGES), (LearnerExperiment, LEARNER_STAGES)], ids=["table", "learner"]
)
def test_every_key_is_in_a_slice_or_declared_without_effect(spec, stages):
    sliced = {key for stage in stages for key in stage.slices}
    leaves = []
    for name, field in spec.model_fields.items():
        shape = field.annotation
        inside = isinstance(shape, type) and issubclass(shape, pydantic.BaseModel)
        leaves += [f"{name}.{key}" for key in shape.model_fields] if inside else [name]

    for leaf in leaves:
        covered = [any(leaf == key or leaf.startswith(f"{key}.") for key in keys) for keys in (sliced, WITHOUT_EFFECT)]
        assert sum(covered) == 1, leaf


def test_another_experiment_with_the_same_values_has_the_same_id(project):
    before, resolved = sign(project)
    after, renamed = sign(project, "name=other")

    assert name_run(resolved, before).removeprefix("flights") == name_run(renamed, after).removeprefix("other")


def test_new_data_changes_every_signature(project):
    before, _ = sign(project, "experiment=california")
    (project / "data").unlink()
    shutil.copytree(ROOT / "data", project / "data")
    file = project / "data" / "california" / "california.parquet"
    same, _ = sign(project, "experiment=california")
    pl.read_parquet(file).head(20_000).write_parquet(file)

    after, _ = sign(project, "experiment=california")

    assert same == before
    assert changed(before, after) == NAMES


def test_an_unchanged_file_is_hashed_once(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_text("x")
    first = fingerprint_files([file], root=tmp_path, memory=tmp_path / "memory.json")
    monkeypatch.setattr(fingerprint, "hash_content", lambda _: pytest.fail("hashed again"))

    assert fingerprint_files([file], root=tmp_path, memory=tmp_path / "memory.json") == first


def test_a_resolved_file_that_is_older_than_a_key_has_its_default(project):
    values = resolve(overrides=[], root=project).values
    file = project / "resolved.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in values.items() if key != "loss"}, sort_keys=False))

    assert read(file).values == values


# --- code ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_code_of_a_target_belongs_to_the_stage_that_builds_it(project):
    mlp = resolve(overrides=["model=mlp"], root=project).values
    linear = resolve(overrides=["model=linear"], root=project).values

    assert mlp[CODE]["train"] != linear[CODE]["train"]
    assert mlp[CODE]["prepare"] == linear[CODE]["prepare"]


def test_stages_depend_on_their_own_code_only():
    graphs = {stage.name: import_graph([stage.module]) for stage in STAGES}

    assert "treadle.training.train" not in graphs["prepare"] | graphs["featurize"]
    assert "treadle.data.point_in_time" in graphs["prepare"]
    assert not any(name.startswith("treadle.evaluation") for name in graphs["train"])
    assert "treadle.pipeline" not in set().union(*graphs.values())


LOADED = """
import importlib, json, sys

loaded = {}
for module in sys.argv[1:]:  # libraries stay; Treadle's own modules are loaded anew
    for name in [name for name in sys.modules if name.split(".")[0] == "treadle"]:
        del sys.modules[name]
    importlib.import_module(module)
    loaded[module] = [name for name in sys.modules if name.startswith("treadle.")]
print(json.dumps(loaded))
"""


@pytest.mark.slow
def test_the_import_graph_holds_what_a_stage_really_imports():
    """Nothing of Treadle that the module loads is missing from its graph, but empty packages."""
    modules = [stage.module for stage in STAGES]
    done = subprocess.run([sys.executable, "-c", LOADED, *modules], check=True, capture_output=True, text=True)

    for module, names in json.loads(done.stdout).items():
        assert module in names
        assert {name for name in names if not is_empty_package(name)} <= import_graph([module]), module


def is_empty_package(name):
    file = ROOT / "src" / Path(*name.split(".")) / "__init__.py"
    return file.is_file() and len(file.read_text().strip().splitlines()) == 1


def test_every_output_of_a_stage_has_a_name_in_the_layout_of_a_run():
    layout = {path.name for path in vars(RunFolder(Path())).values()}

    assert {name for stage in STAGES for name in (*stage.outputs, *stage.scratch)} <= layout


def test_the_pipeline_of_dvc_is_that_of_the_stages(project):
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    _, resolved = sign(project)
    resolved.write_slices(project / "artifacts" / "slices")

    assert list(pipeline) == ["compose", *NAMES]
    for stage in STAGES:
        entry = pipeline[stage.name]
        deps, outs = entry["deps"], [name for out in (*entry["outs"], *entry.get("metrics", ())) for name in out]
        assert entry["cmd"] == f"treadle {stage.name} --resolved resolved.yaml --folder artifacts"
        assert deps[0] == f"artifacts/slices/{stage.name}.yaml"
        assert (project / deps[0]).is_file()
        read = {out for name in stage.reads for out in get_stage(name, {}).outputs}
        assert read <= {dep.removeprefix("artifacts/") for dep in deps}
        assert {Path(out).relative_to("artifacts").parts[0] for out in outs} == set(stage.outputs)


def test_each_stage_has_its_work():
    assert [list(functions) for functions in STAGE_FUNCTIONS.values()] == [NAMES, NAMES]
    assert [stage.name for stage in LEARNER_STAGES] == NAMES
    assert set(TRACKED) <= set(NAMES)


def test_the_file_of_a_slice_changes_when_the_stage_has_to_run_again(project):
    _, resolved = sign(project)
    train, evaluate = (get_stage(name, {}) for name in ("train", "evaluate"))

    _, other = sign(project, "schedule.max_epochs=9")
    edited = Resolved(resolved.experiment, {**resolved.code, "evaluate": "other"})

    assert resolved.dump_slice(train) != other.dump_slice(train)
    assert resolved.dump_slice(evaluate) == other.dump_slice(evaluate)
    assert resolved.dump_slice(train) == edited.dump_slice(train)
    assert resolved.dump_slice(evaluate) != edited.dump_slice(evaluate)
