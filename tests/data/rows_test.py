"""Rows on disk answer to an index as the array does, and never come into memory by accident."""

import io

import numpy as np
import pytest

from jaxclust.data import rows
from jaxclust.data.readers import shards
from jaxclust.data.rows import LazyArray

ARRAY = np.random.default_rng(0).integers(0, 256, (23, 4, 3), dtype=np.uint8)


def mapped(tmp_path):
    np.save(tmp_path / "x.npy", ARRAY)
    return shards.open_rows([shards.find(tmp_path / "x.npy")])


def joined(tmp_path):
    for i, part in enumerate((ARRAY[:7], ARRAY[7:8], ARRAY[8:])):
        np.save(tmp_path / f"{i}.npy", part)
    return shards.open_rows([shards.find(p) for p in shards.list_shards(tmp_path)])


def stored(tmp_path):
    return shards.stored((row.tobytes() for row in ARRAY), ARRAY.shape, ARRAY.dtype)


def taken(tmp_path):
    order = np.random.default_rng(1).permutation(len(ARRAY))
    return rows.of_array(ARRAY[order]).take(np.argsort(order))


def computed(tmp_path):
    return rows.of_array(255 - ARRAY.reshape(23, 12)).map(lambda x: (255 - x).reshape(-1, 4, 3), (4, 3), np.uint8)


@pytest.fixture(params=[mapped, joined, stored, taken, computed], ids=lambda make: make.__name__)
def some(request, tmp_path):
    return request.param(tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        slice(None), slice(3, 9), slice(-4, None), slice(None, None, 5), slice(9, 3), [4, 0, 22, 4, 7], [-1, -23],
        np.arange(23) % 3 == 0, np.array([], int), np.int64(5), 22, -1,
    ],
    ids=str,
)  # fmt: skip
def test_an_index_gives_what_the_array_gives(some, index):
    found = some[index]
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, ARRAY[index])
    assert found.dtype == ARRAY.dtype


def test_rows_are_like_the_array_to_look_at(some):
    assert (len(some), some.shape, some.ndim, some.size, some.dtype) == (23, (23, 4, 3), 3, ARRAY.size, np.uint8)


def test_a_part_stays_on_disk_until_it_is_indexed(some):
    part = rows.take(some, np.array([5, 2, 20]))
    assert isinstance(part, LazyArray)
    np.testing.assert_array_equal(part[:], ARRAY[[5, 2, 20]])
    np.testing.assert_array_equal(part[[2, 0]], ARRAY[[20, 5]])


@pytest.mark.parametrize("index", [[23], [-24], [[1, 2]], np.ones(5, bool)], ids=str)
def test_an_index_that_passes_the_end_is_an_error(some, index):
    with pytest.raises(IndexError):
        some[index]


def test_everything_comes_into_memory_only_when_asked(some):
    for gather in (np.asarray, np.array, np.concatenate):
        with pytest.raises(TypeError, match="stay on disk"):
            gather([some] if gather is np.concatenate else some)


@pytest.mark.parametrize("size", [1, 5, 23, 100, None])
def test_blocks_hold_every_row_once_and_in_order(some, size):
    for images in (some, ARRAY):
        found = list(rows.blocks(images, size))
        np.testing.assert_array_equal(np.concatenate([block for _, block in found]), ARRAY)
        assert [start for start, _ in found] == list(range(0, 23, size or 23))
    assert rows.limits(some) == (ARRAY.min(), ARRAY.max())


def test_what_is_prefetched_comes_in_order():
    assert list(rows.prefetched(lambda i: i**2, range(3, 40, 4))) == [i**2 for i in range(3, 40, 4)]
    assert list(rows.prefetched(str, range(0))) == []


def test_an_error_of_a_thread_is_raised_where_its_result_is_due():
    def read(i):
        if i == 2:
            raise OSError("the disk is gone")
        return i

    results = rows.prefetched(read, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_many_small_pieces_make_one_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "PIECE_BYTES", 3 * (shards.AROUND + 12))
    some = mapped(tmp_path)
    index = np.random.default_rng(2).integers(0, 23, 100)
    np.testing.assert_array_equal(some[index], ARRAY[index])


def test_a_temporary_file_begins_anywhere():
    file = io.BytesIO()
    shards.write(file, [b"ab", b"c"])
    assert file.getvalue() == b"abc"
