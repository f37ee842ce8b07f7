from functools import partial

import pytest
import torch

from treadle.features.stored import StoredRows, load_rows, write_rows
from treadle.schema import Batch

NUM_ROWS = 23  # three files of 7, one of 2


write = partial(write_rows, file_rows=7)


def make_rows(*, num_numeric=3, num_ids=2, multiclass=False):
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(NUM_ROWS)
    return Batch.of_numbers(
        torch.randn(NUM_ROWS, num_numeric, generator=generator),
        torch.randint(1000, (NUM_ROWS, num_ids), generator=generator),
        target if multiclass else target.float(),
        torch.rand(NUM_ROWS, generator=generator),
    )


def same(a, b):
    return all(torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


def take(rows, index):
    return Batch(*(tensor[index] for tensor in rows))


def make_labels():
    return make_rows()._replace(target=(torch.arange(2 * NUM_ROWS) % 3 == 0).float().view(NUM_ROWS, 2))


@pytest.mark.parametrize(
    "rows",
    [make_rows(), make_rows(multiclass=True), make_labels(), make_rows(num_numeric=0), make_rows(num_ids=0)],
    ids=["regression", "multiclass", "labels", "no numbers", "no ids"],
)
def test_rows_come_back_to_the_last_bit(tmp_path, rows):
    write([rows], tmp_path / "train")

    assert len(list((tmp_path / "train").iterdir())) == 4
    assert same(load_rows(tmp_path / "train"), rows)


def test_parts_make_the_same_files_as_the_whole(tmp_path):
    rows = make_rows()
    write([rows], tmp_path / "whole")
    write(iter([take(rows, slice(14)), take(rows, slice(14, None))]), tmp_path / "parts")

    whole, parts = (sorted((tmp_path / name).iterdir()) for name in ("whole", "parts"))
    assert [file.read_bytes() for file in whole] == [file.read_bytes() for file in parts]


def test_any_files_are_read_without_the_others(tmp_path):
    rows = make_rows()
    write([rows], tmp_path / "train")
    (tmp_path / "train" / "00001.parquet").write_bytes(b"")
    found = StoredRows.find(tmp_path / "train")

    assert (found.num_rows, [found.count(file) for file in range(4)]) == (NUM_ROWS, [7, 7, 7, 2])
    assert same(found.read([0, 3]), take(rows, [*range(7), 21, 22]))


def test_rows_are_given_in_the_order_that_is_wanted_and_others_are_left_out(tmp_path):
    rows = make_rows()
    write([rows], tmp_path / "train")
    found = StoredRows.find(tmp_path / "train")

    assert same(found.read([1, 3], order=torch.tensor([8, 0, 7, 3])), take(rows, [22, 7, 21, 10]))
    assert same(found.read([1], order=torch.arange(6, -1, -1)), take(rows, list(range(13, 6, -1))))
    assert len(found.read([1], order=torch.arange(0)).target) == 0


@pytest.mark.parametrize("limit", [1, 7, 8, 23, 99])
def test_the_first_rows_are_read_alone(tmp_path, limit):
    rows = make_rows()
    write([rows], tmp_path / "train")

    assert same(load_rows(tmp_path / "train", limit=limit), take(rows, slice(limit)))


def test_targets_and_weights_are_read_file_by_file(tmp_path):
    rows = make_rows(multiclass=True)
    write([rows], tmp_path / "train")
    parts = list(StoredRows.find(tmp_path / "train").read_targets())

    assert [len(target) for target, _ in parts] == [7, 7, 7, 2]
    assert torch.equal(torch.cat([target for target, _ in parts]), rows.target)
    assert torch.equal(torch.cat([weight for _, weight in parts]), rows.weight)
