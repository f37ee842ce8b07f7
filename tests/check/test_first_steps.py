"""What a block may begin with, by the type of its columns; and the models that steps name."""

import pytest

from treadle.check.resolve import resolve
from treadle.config.selection import quote
from treadle.experiment.model_folders import digest_folder, digest_model
from treadle.problems import ConfigError

TEXTS = "features.blocks.texts"
ENCODER = "{_target_: treadle.features.sentences.SentenceEncoder, model: MODEL, revision: REVISION, batch_size: 8}"


def name_encoder(model, revision):
    return ENCODER.replace("MODEL", model).replace("REVISION", revision)


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


@pytest.mark.slow
def test_steps_that_do_not_fit_their_columns_are_named_with_a_fix(root):
    found = find(
        root,
        "features.blocks.names.columns=[title]",
        "features.blocks.numbers.columns=[title]",
        f"{TEXTS}.columns=[age]",
        "+data.tables.reviews.columns.title.min=1",
    )

    assert "takes each value as a category; let its block begin with" in found["features.blocks.names.columns.0"]
    assert (
        "takes numbers; let its block begin with a step that takes texts" in found["features.blocks.numbers.columns.0"]
    )
    assert "'age' is int, and TfIdf takes texts" in found[f"{TEXTS}.columns.0"]
    assert "the column is text" in found["data.tables.reviews.columns.title.min"]


@pytest.mark.slow
def test_tokens_are_for_a_network_that_reads_them_and_such_a_network_needs_some(root):
    tokens = find(root, "features=reviews_tokens")
    network = find(root, "model=text_transformer")

    assert "does not read the tokens of texts" in tokens["features.blocks.titles.steps.tokens"]
    assert "no block of features gives the tokens of texts" in network["model._target_"]


@pytest.mark.slow
def test_a_category_may_be_read_as_a_text_and_a_transform_follow(root):
    svd = "{_target_: treadle.features.transforms.TruncatedSvd, num_components: 8}"

    found = compose(root, f"{TEXTS}.columns=[title,class]", f"+{TEXTS}.steps.svd={svd}", "model=lightgbm")

    assert list(found.features.blocks["texts"].steps) == ["terms", "svd", "raw"]


def test_a_model_that_a_step_names_is_there_and_the_same(project):
    models = {"a": ("nowhere", "null"), "b": ("owner/name", "main"), "c": ("here", "0123")}
    blocks = [
        f"+features.blocks.{name}={{columns: [title], steps: {{vectors: {name_encoder(*model)}}}}}"
        for name, model in models.items()
    ]

    found = find(project, *blocks)

    assert "no folder 'nowhere'" in found["features.blocks.a.steps.vectors.model"]
    assert "must be a commit, found main" in found["features.blocks.b.steps.vectors.revision"]
    assert "the files in 'here' are others now" in found["features.blocks.c.steps.vectors.revision"]


@pytest.mark.slow
def test_so_is_one_that_a_step_of_a_member_names(project):
    columns, steps = quote(["title"]), f"{{vectors: {name_encoder('nowhere', 'null')}}}"
    own = f"{{blocks: {{texts: {{columns: {columns}, steps: {steps}}}}}}}"

    found = find(project, "model=blend", f"+model.members.linear.features={own}")

    assert "no folder 'nowhere'" in found["model.members.linear.features.blocks.texts.steps.vectors.model"]


def test_the_digest_of_a_folder_is_part_of_the_run(project):
    pytest.importorskip("sentence_transformers")
    encoder = ENCODER.replace("MODEL", "here").replace("REVISION", "null")

    found = (
        compose(project, f"~{TEXTS}.steps.terms", f"+{TEXTS}.steps.vectors={encoder}")
        .features.blocks["texts"]
        .steps["vectors"]
    )

    assert found["revision"] == digest_folder(project / "here")
    (project / "here" / "weights").write_text("others")
    assert found["revision"] != digest_folder(project / "here")


STEPS, NO_PIXELS = "+features.blocks.images.steps", "~features.blocks.images.steps.pixels"
IMAGE_ENCODER = (
    "{_target_: treadle.features.image_encoders.ImageEncoder, model: FILE, revision: null, height: 8, width: 8, "
    "channels: 1, mean: [0.5], deviation: [0.5], batch_size: 8}"
)


@pytest.mark.slow
def test_images_are_read_by_steps_and_networks_that_take_them(root, project):
    def find_digits(*overrides):
        with pytest.raises(ConfigError) as caught:
            resolve(overrides=["experiment=digits", "evaluation=images", *overrides], root=project)
        return {problem.key: f"{problem.rule}; {problem.fix}" for problem in caught.value.problems}

    pixels = find_digits("model=mlp")["features.blocks.images.steps.pixels"]
    network = find(root, "model=image_resnet")["model._target_"]
    words = find_digits(NO_PIXELS, f"{STEPS}.ids={{_target_: treadle.features.categories.Vocabulary, min_count: 1}}")[
        "features.blocks.images.columns.0"
    ]
    absent = find_digits(NO_PIXELS, f"{STEPS}.vectors={IMAGE_ENCODER.replace('FILE', 'no.onnx')}", "model=linear")

    assert "does not read the pixels of images; add model=image_resnet" in pixels
    assert "no block of features gives the pixels of images" in network
    assert "'image' is image, and Vocabulary takes each value as a category; let its block begin with" in words
    assert "no file 'no.onnx'" in absent["features.blocks.images.steps.vectors.model"]


def test_the_digest_of_a_model_in_a_file_is_part_of_the_run(project):
    vectors = IMAGE_ENCODER.replace("FILE", "here/weights")
    overrides = [NO_PIXELS, f"{STEPS}.vectors={vectors}", "model=linear", "augmentation=none"]

    (step,) = (
        resolve(overrides=["experiment=digits", *overrides], root=project)
        .experiment.features.blocks["images"]
        .steps.values()
    )

    assert step["revision"] == digest_model(project / "here" / "weights")
