"""What a block may begin with, by the type of its columns; and the models that steps name."""

import pytest

from treadle.check.resolve import resolve
from treadle.experiment.model_folders import digest_folder
from treadle.problems import ConfigError

TEXTS = "features.blocks.texts"
ENCODER = "{_target_: treadle.features.sentences.SentenceEncoder, model: MODEL, revision: REVISION, batch_size: 8}"


def compose(root, *overrides):
    return resolve(overrides=["experiment=reviews", *overrides], root=root).experiment


def find(root, *overrides):
    with pytest.raises(ConfigError) as caught:
        compose(root, *overrides)
    return {problem.key: f"{problem.rule}; {problem.fix}" for problem in caught.value.problems}


@pytest.fixture
def project(tmp_path, root):
    """The shipped experiments with their data, and a folder that could be a model."""
    for name in ("conf", "data"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "weights").write_text("some")
    return tmp_path


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        (
            "features.blocks.names.columns=[title]",
            "features.blocks.names.columns.0",
            "each value as a category; let its",
        ),
        (f"{TEXTS}.columns=[age]", f"{TEXTS}.columns.0", "'age' is int, and TfIdf takes texts"),
        (
            "features.blocks.numbers.columns=[title]",
            "features.blocks.numbers.columns.0",
            "takes numbers; let its block",
        ),
        ("model=text_transformer", "model._target_", "no block of features gives the tokens of a text"),
        ("features=reviews_tokens", "features.blocks.titles.steps.tokens", "does not read the tokens of texts"),
        ("+data.tables.reviews.columns.title.min=1", "data.tables.reviews.columns.title.min", "the column is text"),
    ],
)
def test_a_step_that_does_not_fit_is_named_with_its_fix(root, override, key, message):
    assert message in find(root, override)[key]


def test_a_category_may_be_read_as_a_text_and_a_transform_follow(root):
    svd = "{_target_: treadle.features.transforms.TruncatedSvd, num_components: 8}"

    found = compose(root, f"{TEXTS}.columns=[title,class]", f"+{TEXTS}.steps.svd={svd}", "model=lightgbm")

    assert list(found.features.blocks["texts"].steps) == ["terms", "svd", "raw"]


@pytest.mark.parametrize(
    ("model", "revision", "place", "message"),
    [
        ("nowhere", "null", ".model", "no folder 'nowhere'"),
        ("owner/name", "main", ".revision", "must be a commit, found main"),
        ("here", "0123", ".revision", "the files in 'here' are others now"),
    ],
)
def test_a_model_that_a_step_names_is_there_and_the_same(project, model, revision, place, message):
    encoder = ENCODER.replace("MODEL", model).replace("REVISION", revision)

    found = find(project, f"~{TEXTS}.steps.terms", f"+{TEXTS}.steps.vectors={encoder}")

    assert message in found[f"{TEXTS}.steps.vectors{place}"]


def test_the_digest_of_a_folder_is_part_of_the_run(project):
    encoder = ENCODER.replace("MODEL", "here").replace("REVISION", "null")

    found = (
        compose(project, f"~{TEXTS}.steps.terms", f"+{TEXTS}.steps.vectors={encoder}")
        .features.blocks["texts"]
        .steps["vectors"]
    )

    assert found["revision"] == digest_folder(project / "here")
    (project / "here" / "weights").write_text("others")
    assert found["revision"] != digest_folder(project / "here")
