"""Pixels of images: what a step makes of a column, and how they lie on disk."""

import numpy as np
import polars as pl
import pytest
import torch

pytest.importorskip("PIL")

from pictures import make_png, read_png
from treadle.errors import TreadleError
from treadle.experiment.spec import Features
from treadle.features.featurize import featurize
from treadle.features.featurizer import Featurizer
from treadle.features.images import Pixels
from treadle.features.stored import PIXELS, StoredRows, load_rows, write_rows
from treadle.images import FEW_ROWS
from treadle.schema import LABEL, Batch, ImageSpan

TARGETS = ["treadle.features."]
STEP = {"_target_": "treadle.features.images.Pixels", "height": 4, "width": 6, "channels": 1}
FRAME = pl.DataFrame(
    {
        "front": [make_png(seed=place) for place in range(9)],
        "back": [None, *(make_png(channels=3, seed=place) for place in range(8))],
        "size": range(9),
    }
)


@pytest.fixture
def featurizer():
    blocks = {
        "front": {"columns": ["front"], "steps": {"pixels": STEP}},
        "numbers": {"columns": ["size"], "steps": {"scale": {"_target_": "treadle.features.transforms.Standardize"}}},
        "back": {"columns": ["back"], "steps": {"pixels": {**STEP, "height": 2, "width": 3, "channels": 3}}},
    }
    made = Featurizer(Features.model_validate({"blocks": blocks}), targets=TARGETS)
    made.fit(FRAME)
    return made


def test_each_image_has_its_place_among_the_pixels(featurizer):
    inputs = featurizer(FRAME)

    assert featurizer.images == [ImageSpan(0, 4, 6, 1), ImageSpan(24, 2, 3, 3)]
    assert inputs.pixels.shape == (9, featurizer.num_pixels) == (9, 24 + 18)
    assert inputs.pixels.dtype == torch.uint8
    assert np.array_equal(inputs.pixels[3, :24].reshape(4, 6).numpy(), read_png(FRAME["front"][3]))
    assert not inputs.pixels[0, 24:].any()  # a missing image is black
    assert inputs.numeric.shape == (9, 1)


def test_a_saved_featurizer_gives_the_same_pixels(featurizer, tmp_path):
    featurizer.save(tmp_path)
    loaded = Featurizer.load(tmp_path, spec=featurizer.spec, targets=TARGETS)

    assert all(map(torch.equal, loaded(FRAME), featurizer(FRAME)))
    assert loaded(FRAME.clear()).pixels.shape == (0, 42)


def test_nothing_follows_pixels_and_a_text_has_none():
    spec = {"columns": ["front"], "steps": {"pixels": STEP, "more": STEP}}
    with pytest.raises(TreadleError, match=r"steps\.more: no step may follow Pixels"):
        Featurizer(Features.model_validate({"blocks": {"a": spec}}), targets=TARGETS).fit(FRAME)

    step = Pixels(columns=["name"], height=4, width=6, channels=1)
    with pytest.raises(TreadleError, match="'name' is of type String, not an image"):
        step.read_pixels(pl.DataFrame({"name": ["a"]}))


def make_rows(num_rows, *, num_pixels=5):
    index = torch.arange(num_rows)
    pixels = (index[:, None] + torch.arange(num_pixels)).byte()
    return Batch(index[:, None].float(), torch.zeros(num_rows, 0).long(), index.float(), torch.ones(num_rows), pixels)


def test_pixels_lie_beside_the_rows_and_are_mapped(tmp_path):
    rows = make_rows(100)

    write_rows(
        [Batch(*(part[:30] for part in rows)), Batch(*(part[30:] for part in rows))], tmp_path / "x", file_rows=7
    )

    assert np.load(tmp_path / "x" / PIXELS, mmap_mode="r").shape == (100, 5)
    assert all(map(torch.equal, load_rows(tmp_path / "x"), rows))
    assert all(map(torch.equal, load_rows(tmp_path / "x", limit=10), (part[:10] for part in rows)))


def test_few_images_at_a_time_make_the_rows_that_all_together_make(tmp_path):
    num_rows = FEW_ROWS + 50
    photos = [make_png(seed=place) for place in range(num_rows)]
    frame = pl.DataFrame({"photo": photos, "size": range(num_rows), LABEL: [float(n % 7) for n in range(num_rows)]})
    for split in ("train", "valid"):
        frame.write_parquet(tmp_path / f"{split}.parquet")
    number = {"_target_": "treadle.features.transforms.Standardize"}
    blocks = {name: {"columns": [name], "steps": {"a": step}} for name, step in (("photo", STEP), ("size", number))}
    folders = [tmp_path / "whole", tmp_path / "parts"]

    for folder, fit_rows in zip(folders, (None, num_rows), strict=True):
        spec = Features.model_validate({"blocks": blocks, "fit_rows": fit_rows})
        given = {"task": "regression", "targets": TARGETS, "examples": tmp_path, "before": None, "file_rows": 100}
        featurize(spec, folder=folder, **given)

    whole, parts = (load_rows(folder / "train") for folder in folders)
    assert all(map(torch.equal, whole, parts))
    assert np.array_equal(parts.pixels[-1].reshape(4, 6), read_png(photos[-1]))
    assert StoredRows.find(folders[1] / "train").file_rows == 100


def test_any_files_are_read_in_any_order(tmp_path):
    rows = make_rows(100)
    write_rows([rows], tmp_path / "x", file_rows=7)
    places = torch.tensor([*range(14, 21), *range(63, 70), 98, 99])  # of the rows in the files 2, 9 and 14
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))[:13]

    found = StoredRows.find(tmp_path / "x").read([2, 9, 14], order=order)

    assert torch.equal(found.target, rows.target[places[order]])
    assert torch.equal(found.pixels, rows.pixels[places[order]])
