"""What is wrong is refused before anything runs: all of it at once, with key, place and the nearest spelling."""

import subprocess
import sys

import pytest
import yaml

from runs import treadle
from treadle.check.checks import check, find_warnings
from treadle.check.resolve import resolve
from treadle.config.compose import compose
from treadle.config.selection import read_selection
from treadle.problems import ConfigError

pytestmark = [pytest.mark.usefixtures("project"), pytest.mark.fast_cases(3)]


def find_problems(project, *overrides):
    with pytest.raises(ConfigError) as caught:
        resolve(overrides=list(overrides), root=project)
    return caught.value.problems


def edit(project, file, old, new):
    path = project / "conf" / f"{file}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def append(project, file, text):
    path = project / "conf" / f"{file}.yaml"
    path.write_text(path.read_text() + text)


@pytest.mark.slow
def test_the_place_is_file_and_line(project):
    edit(project, "schedule/base", "batch_size: 1024", "batch_size: big")

    (problem,) = find_problems(project)

    line = (project / "conf/schedule/base.yaml").read_text().splitlines().index("batch_size: big") + 1
    assert str(problem.place) == f"conf/schedule/base.yaml:{line}:{len('batch_size: ') + 1}"


def test_the_place_is_the_override_where_one_sets_the_value(project):
    (problem,) = find_problems(project, "schedule.batch_size=big")

    assert str(problem.place) == "override 1: 'schedule.batch_size=big'"


def test_every_value_that_is_missing_or_does_not_resolve_is_listed(project):
    """T2: no `???` and no `${` reaches a stage."""
    edit(project, "schedule/base", "max_epochs: 20", "max_epochs: ???")
    edit(project, "schedule/one_cycle", "max_epochs: 8\n", "")
    edit(project, "trainer/cpu", "threads: 1", "threads: ${trainer.cores}")
    edit(project, "tracker/offline", "project: treadle", "project: ${tracker.project}")
    edit(
        project,
        "experiment/flights",
        "  max_epochs: 4  # more epochs do not lower the validation loss\n",
        "  gradient_clip: 1.0\n",
    )

    problems = {p.key: p for p in find_problems(project)}

    assert set(problems) == {"schedule.max_epochs", "trainer.threads", "tracker.project"}
    assert problems["schedule.max_epochs"].place.file == "conf/schedule/base.yaml"
    assert "${trainer.cores}" in problems["trainer.threads"].rule


def test_an_interpolation_that_resolves_is_written_as_its_value(project):
    edit(project, "trainer/cpu", "threads: 1", "threads: ${trainer.devices}")

    resolved = resolve(overrides=[], root=project)

    assert resolved.values["trainer"]["threads"] == 1
    assert "${" not in resolved.dump()


def test_all_mistakes_are_reported_at_once(project):
    overrides = ["model=tabn", "schedule.max_epoch=3", "seed=x", "schedule.monitor=auc", "evaluation.threshold=2"]

    keys = {p.key for p in find_problems(project, *overrides)}

    assert keys >= {"model", "schedule.max_epoch", "seed", "evaluation.threshold"}


@pytest.mark.slow
def test_every_command_checks_first_and_leaves_nothing(project, capsys):
    for verb in ("check", "compose", "run", "train"):
        assert treadle(verb, "schedule.max_epoch=3") == 2
        assert "Did you mean 'schedule.max_epochs'?" in capsys.readouterr().err

    assert not (project / "runs").exists()


def test_yaml_executes_nothing(project):
    append(project, "tracker/offline", "extra: !!python/object/apply:os.system ['touch harm']\n")

    with pytest.raises(ConfigError):
        resolve(overrides=[], root=project)

    assert not (project / "harm").exists()


def test_a_broken_yaml_file_is_named_with_its_line(project):
    before = len((project / "conf" / "tracker" / "offline.yaml").read_text().splitlines())
    append(project, "tracker/offline", "tags: [a\nb: c\n")

    (problem,) = find_problems(project)

    assert str(problem.place) == f"conf/tracker/offline.yaml:{before + 2}:2"


def test_zero_and_false_and_null_are_values(project):
    """T23: nothing is read by its truth."""
    overrides = ["seed=0", "schedule.early_stopping=null", "evaluation.parity_rows=0"]

    values = resolve(overrides=overrides, root=project).values

    assert (values["seed"], values["schedule"]["early_stopping"], values["evaluation"]["parity_rows"]) == (0, None, 0)


def test_a_valid_selection_is_reported_as_ok(capsys):
    assert treadle("check", "model=mlp") == 0
    assert capsys.readouterr().out == "flights: OK\n"


def test_what_is_composed_can_be_read_back(project):
    assert treadle("compose", "-o", "resolved.yaml") == 0

    resolved = resolve(overrides=[], root=project)
    assert yaml.safe_load((project / "resolved.yaml").read_text()) == resolved.values


# In one process, the lightest first: what one imports is there for those after it.
LIGHT_VERBS = [
    (["--help"], "polars sqlglot hydra"),
    (["completion", "bash", "--words", "run", "mo"], "polars sqlglot hydra"),
    (["check"], ""),
    (["compose"], ""),
    (["run", "--cfg", "job"], ""),
    (["explain", "model.k"], ""),
    (["lineage"], ""),
    (["schema", "--check"], ""),
    (["ls"], ""),
    (["gc", "--keep", "newest:1", "--dry-run"], ""),
]
RUN_THEM = f"""
import sys
from treadle.cli.main import main
for arguments, heavy in {LIGHT_VERBS!r}:
    try:
        main(arguments)
    except SystemExit:
        pass
    found = {{'torch', 'pytorch_lightning', 'wandb', 'dvc', 'matplotlib', *heavy.split()}} & set(sys.modules)
    if found:
        sys.exit(f'{{arguments}} imported {{found}}')
"""


@pytest.mark.slow
def test_the_light_verbs_import_no_heavy_library(project):
    """T16."""
    done = subprocess.run([sys.executable, "-c", RUN_THEM], check=False, cwd=project, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_stream_beside_what_needs_all_rows_in_memory_is_a_warning(capsys):
    assert treadle("check", "schedule.shuffle_buffer=65536") == 0
    said = capsys.readouterr().out
    assert said.startswith("flights: OK, 2 warnings\n\n")
    assert "features.fit_rows  conf/features/flights.yaml" in said
    assert "evaluation.baselines  conf/evaluation/default.yaml" in said

    assert treadle("check", "schedule.shuffle_buffer=65536", "features.fit_rows=9") == 0
    assert capsys.readouterr().out.startswith("flights: OK, 1 warning\n\n")

    assert treadle("check", "schedule.shuffle_buffer=65536", "features.fit_rows=9", "evaluation.baselines=[]") == 0
    assert "memory" not in capsys.readouterr().out


def test_a_calibration_of_a_valid_split_with_few_rows_is_a_warning(capsys):
    """digits: 1,797 rows."""
    selected = ("experiment=digits", "evaluation.calibrate=isotonic")

    assert treadle("check", *selected, "data.split.valid=0.02") == 0
    said = capsys.readouterr().out
    assert "evaluation.calibrate  override 2" in said
    assert "isotonic takes 50 rows of the validation split, which will have about 36" in said

    assert treadle("check", *selected) == 0
    assert "evaluation.calibrate" not in capsys.readouterr().out


def test_a_switch_may_be_written_as_yaml_reads_it(project):
    """To YAML a bare `off` is false, wherever it stands."""
    edit(project, "trainer/cpu", "compile: auto", "compile: off")
    (project / "params.yaml").write_text("experiment: california\nset: {trainer.compile: on}\n")

    in_file = resolve(overrides=["experiment=california"], root=project)
    selection = read_selection(project / "params.yaml", root=project)
    selected = resolve(overrides=list(selection), places=selection, root=project).values
    typed = resolve(overrides=["experiment=california", "trainer.compile=off"], root=project).values

    assert in_file.values["trainer"]["compile"] == typed["trainer"]["compile"] == "off"
    assert selected["trainer"]["compile"] == "on"
    assert yaml.safe_load(in_file.dump())["trainer"]["compile"] == "off"


def test_a_column_that_a_lookup_goes_by_is_read(project):
    history = "{table: flights, by: {hour_of: hour}, window: 3h, columns: {extra: 'COUNT(*)'}}"
    overrides = ["++data.tables.flights.derive.hour_of=hour", f"++data.examples.history.extra={history}"]
    composed = compose(overrides=overrides, root=project)

    warnings = find_warnings(check(composed), composed)

    assert [warning.key for warning in warnings] == ["data.examples.history.extra.columns.extra"]


def test_lineage_and_diff_need_no_data(project):
    assert treadle("check", "data.tables.planes.path=none.parquet") == 2
    assert treadle("lineage", "data.tables.planes.path=none.parquet") == 0
    assert treadle("diff", "data.tables.planes.path=none.parquet", "model=mlp") == 0


def test_a_lightning_module_is_no_network(project):
    with pytest.raises(ConfigError) as caught:
        resolve(overrides=["model={_target_: pytorch_lightning.LightningModule}"], root=project)

    (problem,) = caught.value.problems
    assert problem.rule == "pytorch_lightning.LightningModule is a LightningModule, and `model` takes a network alone"
    assert "`learner`" in problem.fix
