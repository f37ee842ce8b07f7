import pytest

from treadle.config.compose import compose
from treadle.config.selection import quote, read_selection
from treadle.errors import TreadleError
from treadle.problems import ConfigError

pytestmark = pytest.mark.fast_cases(3)


def test_groups_and_single_values_become_plain_overrides(project):
    (project / "params.yaml").write_text(
        "experiment: california\nmodel: mlp\ndata: null\nset: {schedule: {max_epochs: 3}, tracker: {tags: [a b, c]}}\n"
    )

    overrides = read_selection(project / "params.yaml", root=project)

    assert list(overrides) == [
        "experiment=california",
        "model=mlp",
        "schedule.max_epochs=3",
        "tracker.tags=['a b','c']",
    ]
    assert compose(overrides=list(overrides), root=project).values["tracker"]["tags"] == ["a b", "c"]


def test_a_key_that_is_no_group_is_refused(project):
    (project / "params.yaml").write_text("modle: mlp\n")

    with pytest.raises(ConfigError, match=r"(?s)modle .*params.yaml.*'modle' is not a group.*Did you mean 'model'"):
        read_selection(project / "params.yaml", root=project)


@pytest.mark.parametrize("text", ["set: &a {x: *a}", "set: {name: &a [*a]}"])
def test_a_value_that_holds_itself_is_refused(project, text):
    (project / "params.yaml").write_text(f"{text}\n")

    with pytest.raises(TreadleError, match=r"params\.yaml: a value holds itself"):
        read_selection(project / "params.yaml", root=project)


@pytest.mark.sampled_cases(4)
@pytest.mark.fast_cases(4)
@pytest.mark.parametrize(
    "value", [None, True, 0, 1.5, "it's", "a=b, {c}", "", [1, [None, "x"]], {"a": [1]}, "1", "null"]
)
def test_a_value_survives_hydras_grammar(project, value):
    composed = compose(overrides=[f"+extra={quote(value)}"], root=project)

    assert composed.values["extra"] == value


@pytest.mark.parametrize(
    ("written", "override"),
    [("1e-05", "seed=1e-05"), ("no", "seed='no'"), ("12:30", "seed='12:30'"), ("010", "seed=10"), ("on", "seed='on'")],
)
def test_values_are_read_as_dvc_writes_them(project, written, override):
    (project / "params.yaml").write_text(f"set:\n  seed: {written}\n")

    assert list(read_selection(project / "params.yaml", root=project)) == [override]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "override"),
    [
        ("loss: {class_weights: {negative: 1, positive: 2}}", "loss.class_weights={negative:1,positive:2}"),
        (
            "schedule: {early_stopping: {patience: 4, min_delta: 0.0}}",
            "schedule.early_stopping={patience:4,min_delta:0.0}",
        ),
        ("model: {width: 16}", "model.width=16"),
        ("modle: {width: 16}", "modle.width=16"),
    ],
    ids=["a null", "a section that is null", "a section", "a misspelt section"],
)
def test_keys_in_place_of_a_null_are_one_value(project, values, override):
    (project / "params.yaml").write_text(f"experiment: flights\nset:\n  {values}\n")

    assert list(read_selection(project / "params.yaml", root=project)) == ["experiment=flights", override]


def test_single_values_that_are_no_keys_are_refused(project):
    (project / "params.yaml").write_text("set: 5\n")

    with pytest.raises(TreadleError, match="'set' must hold keys"):
        read_selection(project / "params.yaml", root=project)
