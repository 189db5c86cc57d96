import numpy as np
import pytest

from jaxclust.data import dataset, rows
from jaxclust.errors import InputError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def test_shapes_and_types_come_into_one_form():
    cases = [
        (IMAGES, (2, 3, 4, 1), np.uint8),
        (IMAGES[..., None], (2, 3, 4, 1), np.uint8),
        (IMAGES.astype(np.int64), (2, 3, 4, 1), np.uint8),
        (IMAGES.astype(np.uint16) * 100, (2, 3, 4, 1), np.float32),
        (IMAGES.astype(np.float64) / 7, (2, 3, 4, 1), np.float32),
        (np.zeros((2, 3, 4, 3), np.float16), (2, 3, 4, 3), np.float32),
        (IMAGES[:, 0], (2, 4), np.float32),
    ]
    for array, shape, dtype in cases:
        out = dataset.standard("x", array)
        assert (out.shape, out.dtype) == (shape, dtype)
        np.testing.assert_allclose(out.reshape(-1), array.reshape(-1).astype(np.float32), rtol=1e-6)


def test_bool_becomes_black_and_white():
    assert dataset.standard("x", np.eye(4, dtype=bool)[None]).max() == 255


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), "neither images"),
        (np.zeros((1, 2, 3, 1, 1)), "neither images"),
        (np.zeros((0, 8, 8)), "empty"),
        (np.zeros((3, 0)), "empty"),
        (np.array([["a", "b"]]), "not numbers"),
        (np.array([[object(), 1]], dtype=object), "not numbers"),
        (np.zeros((2, 2), np.complex64), "not numbers"),
        (np.zeros((5, 3, 8, 8)), "transpose"),
        (np.zeros((5, 8, 8, 4)), "alpha"),
        (np.zeros((5, 8, 8, 2)), "1 or 3"),
        (np.full((2, 2), 1e300), "rescale"),
    ],
)
def test_bad_arrays_are_refused(array, words):
    with pytest.raises(InputError, match=f"^x: .*{words}") as info:
        dataset.standard("x", array)
    assert "\n" not in str(info.value)


def test_nan_and_infinity_are_counted_and_located():
    images = np.zeros((6, 4, 4), np.float32)
    images[3, 1, 2], images[3, 0, 0], images[5, 0, 0] = np.nan, np.inf, -np.inf
    with pytest.raises(InputError, match="3 values in 2 examples are NaN or infinite, first in example 3"):
        dataset.standard("x", images)


def test_streamed_data_are_read_once_to_be_checked():
    x, reads = np.random.default_rng(0).normal(size=(90, 4)), []

    def read(numbers):
        reads.extend(numbers.tolist())
        return x[numbers]

    streamed = dataset.standard("x", rows.LazyArray(x.shape, x.dtype, read))
    assert sorted(reads) == list(range(90))
    assert dataset.standard("x", streamed) is streamed
    dataset.build("x", streamed, split=np.arange(90) % 2, select="test")
    assert len(reads) == 90
    np.testing.assert_array_equal(streamed[:], dataset.standard("x", x))


def test_labels():
    assert dataset.build("x", IMAGES, [1, -1]).labels.tolist() == [1, -1]
    named = dataset.build("x", IMAGES, np.array(["dog", "cat"]))
    assert named.labels.tolist() == [1, 0]
    assert named.class_names == ("cat", "dog")
    assert named.labels.dtype == np.int64
    assert dataset.build("x", IMAGES, np.array([[1.0], [0.0]])).labels.tolist() == [1, 0]
    for bad in ([1], [1, 2, 3], [[1, 2], [3, 4]], [0.5, 1.0], [np.nan, 1.0], np.array([None, 1])):
        with pytest.raises(InputError, match="labels of"):
            dataset.build("x", IMAGES, bad)


def test_one_colour_image_is_not_taken_for_many_grey_ones():
    for channels in (3, 4):
        with pytest.raises(InputError, match="looks like one colour image"):
            dataset.build("x", np.zeros((16, 12, channels), np.uint8))
    for shape in ((16, 12, 3, 1), (16, 12, 5), (6, 8, 3)):
        assert len(dataset.build("x", np.zeros(shape, np.uint8)).images) == shape[0]
    assert len(dataset.build("x", np.zeros((16, 12, 3))).images) == 16


def test_split_selects_rows_of_everything():
    images, labels = np.arange(8, dtype=np.float32).reshape(4, 2), np.arange(4)
    for split in ([0, 1, 0, 1], np.array(["train", "test", "train", "test"])):
        part = dataset.build("x", images, labels, None, split, ["a", "b", 3, "d"], select="test")
        assert part.images.tolist() == [[2, 3], [6, 7]]
        assert part.labels.tolist() == [1, 3]
        assert part.split.tolist() == [1, 1]
        assert part.names.tolist() == ["b", "d"]
    with pytest.raises(InputError, match="3 names do not match 4 examples"):
        dataset.build("x", images, names=list("abc"))
    with pytest.raises(InputError, match="no train and test parts"):
        dataset.build("x", images, select="train")
    with pytest.raises(InputError, match="test part is empty"):
        dataset.build("x", images, split=[0] * 4, select="test")
    with pytest.raises(InputError, match=r"0 .train. and 1"):
        dataset.build("x", images, split=[0, 1, 2, 0])
    with pytest.raises(InputError, match="unknown"):
        dataset.build("x", images, select="valid")


def test_fingerprint_sees_images_but_not_labels():
    base = dataset.build("x", IMAGES, [0, 1]).fingerprint
    assert len(base) == 64
    assert base == dataset.build("y", IMAGES.copy(), [1, 0]).fingerprint
    changed = IMAGES.copy()
    changed[1, 2, 3] ^= 1
    others = [changed, IMAGES.reshape(2, 4, 3), IMAGES.astype(np.float32), IMAGES[::-1]]
    assert len({base, *(dataset.build("x", o).fingerprint for o in others)}) == 5
