"""What is streamed is what would be read: the same numbers, fingerprint, preparation and errors."""

import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxclust import cli
from jaxclust.data import dataset, prepare, rows, sources
from jaxclust.data.readers import shards
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError
from jaxclust.system import environment

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (30, 6, 5), dtype=np.uint8)
FLOATS = RNG.normal(size=(30, 6, 5, 3))
FEATURES = RNG.normal(3.0, 2.0, (300, 7))
KINDS = {
    "uint8": BYTES, "bool": BYTES > 128, "levels": (BYTES % 17).astype(np.int64), "uint16": BYTES.astype(np.uint16) * 9,
    "float64": FLOATS, "big-endian": FLOATS.astype(">f4"), "features": FEATURES, "whole features": BYTES[:, 0],
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, even of the few examples here."""
    monkeypatch.setattr(rows, "BLOCK_BYTES", 400)


def both(path, **options):
    resident = sources.load(path, stream="off", **options)
    streamed = sources.load(path, stream="on", **options)
    assert isinstance(resident.images, np.ndarray)
    assert isinstance(streamed.images, LazyArray)
    return resident, streamed


def check_same(resident, streamed):
    assert (streamed.images.shape, streamed.images.dtype) == (resident.images.shape, resident.images.dtype)
    np.testing.assert_array_equal(streamed.images[:], resident.images)
    for name in ("fingerprint", "class_names", "skipped", "name"):
        assert getattr(streamed, name) == getattr(resident, name)
    for name in ("labels", "split"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(resident, name))
    plan = prepare.plan(resident.images)
    assert prepare.plan(streamed.images) == plan
    prepared = prepare.apply(plan, streamed.images)
    assert isinstance(prepared, LazyArray)
    np.testing.assert_array_equal(prepared[:], prepare.apply(plan, resident.images))
    assert prepared[:2].dtype == prepare.apply(plan, resident.images).dtype
    assert prepare.n_bytes(resident.images.shape) == prepare.apply(plan, resident.images).nbytes


@pytest.mark.parametrize("kind", KINDS)
def test_an_npy(tmp_path, kind):
    np.save(tmp_path / "x.npy", KINDS[kind])
    check_same(*both(tmp_path / "x.npy"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("split", ["all", "train", "test"])
def test_an_npz(tmp_path, save, split):
    save(tmp_path / "x.npz", labels=np.arange(30) % 4, images=BYTES, split=np.arange(30) % 2, other=np.ones(3))
    check_same(*both(tmp_path / "x.npz", split=split))


def test_features_of_an_npz(tmp_path):
    np.savez(tmp_path / "x.npz", features=FEATURES)
    check_same(*both(tmp_path / "x.npz"))


def test_a_folder_of_shards_is_one_array_by_name(tmp_path):
    np.save(tmp_path / "b.npy", BYTES[10:11])
    np.savez_compressed(tmp_path / "c.npz", images=BYTES[11:])
    np.savez(tmp_path / "a.npz", images=BYTES[:10])
    np.save(tmp_path / ".hidden.npy", FLOATS)
    resident, streamed = both(tmp_path)
    np.testing.assert_array_equal(resident.images[..., 0], BYTES)
    assert resident.labels is None
    check_same(resident, streamed)


def test_shards_bring_labels_and_split(tmp_path):
    for i in range(3):
        np.savez(tmp_path / f"{i}.npz", images=BYTES[i::3], labels=["x", "y"] * 5, split=np.full(10, i % 2))
    resident, streamed = both(tmp_path, split="train")
    assert resident.class_names == ("x", "y")
    assert len(resident.labels) == 20
    check_same(resident, streamed)


@pytest.mark.parametrize("modes", [("L",), ("RGB",), ("L", "RGB")], ids=str)
def test_a_folder_of_images(tmp_path, modes):
    for i in range(12):
        mode = modes[i % len(modes)]
        pixels = RNG.integers(0, 256, (6, 4) if mode == "L" else (6, 4, 3), dtype=np.uint8)
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    (tmp_path / "a" / "5.png").write_bytes(b"no image")
    check_same(*both(tmp_path, skip_bad=True))
    check_same(*both(tmp_path, skip_bad=True, image_size=8))
    with pytest.raises(InputError, match=r"a/5\.png: cannot be read as an image .* --skip-bad"):
        sources.load(tmp_path, stream="on")


def test_images_are_resized_once_within_the_range_of_all(tmp_path):
    np.save(tmp_path / "x.npy", FLOATS)
    resident, streamed = both(tmp_path / "x.npy", image_size=12)
    assert resident.images.shape == (30, 12, 12, 3)
    check_same(resident, streamed)


def test_what_has_no_file_of_its_own_is_fed_part_by_part():
    check_same(*both(BYTES))
    check_same(*both("digits"))


@pytest.mark.parametrize(
    ("memory", "kind"),
    [(30 * 64 * 8 - 1, LazyArray), (30 * 64 * 8, np.ndarray), (None, np.ndarray)],
)
def test_auto_streams_what_exceeds_its_share_of_the_memory(tmp_path, monkeypatch, memory, kind):
    """30 images of 6 x 5, prepared 8 x 8: 1920 bytes."""
    monkeypatch.setattr(environment, "memory_for_data", lambda: memory)
    np.save(tmp_path / "x.npy", BYTES)
    (tmp_path / "shards").mkdir()
    np.save(tmp_path / "shards" / "x.npy", BYTES)
    for data in (tmp_path / "x.npy", tmp_path / "shards", BYTES):
        assert type(sources.load(data, stream="auto").images) is kind


def test_auto_looks_at_the_first_image_of_a_folder(tmp_path, monkeypatch):
    for i in range(3):
        Image.fromarray(BYTES[i]).save(tmp_path / f"{i}.png")
    for memory, kind in ((3 * 64 * 3 * 8 - 1, LazyArray), (3 * 64 * 3 * 8, np.ndarray)):
        monkeypatch.setattr(environment, "memory_for_data", lambda memory=memory: memory)
        assert type(sources.load(tmp_path, stream="auto").images) is kind


def test_memory_for_data_is_the_smallest_there_is(monkeypatch):
    monkeypatch.setattr(environment, "machine_memory_mb", lambda: 64.0)
    monkeypatch.setattr(environment, "device_memory", lambda: [None])
    assert environment.memory_for_data() == 64e6
    monkeypatch.setattr(environment, "device_memory", lambda: [{"bytes_limit": 16e6}, {"bytes_limit": 8e6}])
    assert environment.memory_for_data() == 8e6


def test_a_container_s_limit_is_the_machine_s(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "CONTAINER_LIMITS", (str(tmp_path / "limit"),))
    before = environment.machine_memory_mb()
    (tmp_path / "limit").write_text("5000000\n")
    assert environment.machine_memory_mb() == 5.0
    (tmp_path / "limit").write_text("max\n")
    assert environment.machine_memory_mb() == before


# bad input: one line that names the file and the remedy, exit code 2, nothing written


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 40])


def truncated(root):
    np.save(root / "0.npy", BYTES)
    cut(root / "0.npy")
    return r"0\.npy: the file is truncated: 1028 bytes announced, 988 there"


def truncated_npz(root):
    np.savez_compressed(root / "0.npz", images=BYTES)
    cut(root / "0.npz")
    return r"0\.npz: the file is truncated"


def damaged_npz(root):
    np.savez_compressed(root / "0.npz", images=BYTES)
    data = bytearray((root / "0.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (root / "0.npz").write_bytes(data)
    return r"0\.npz: the file is truncated"


def other_shape(root):
    np.save(root / "0.npy", BYTES)
    np.save(root / "1.npy", BYTES[:, :5])
    return r"1\.npy: rows of shape \(5, 5\) where 0\.npy has \(6, 5\)"


def other_type(root):
    np.save(root / "0.npy", BYTES)
    np.save(root / "1.npy", BYTES.astype(np.int16))
    return r"1\.npy: values of type int16 where 0\.npy has uint8"


def labels_among_shards(root):
    np.save(root / "0.npy", BYTES)
    np.save(root / "labels.npy", np.arange(30))
    return r"labels\.npy: rows of shape \(\) .* take this file out"


def labels_of_some(root):
    np.savez(root / "0.npz", images=BYTES, labels=np.arange(30))
    np.savez(root / "1.npz", images=BYTES)
    return r"1\.npz: has no 'labels' where other shards do"


def no_number_late(root):
    values = FLOATS.copy()
    values[27, 0, 0, 0], values[28, 0, 0, :2] = np.nan, np.inf
    np.save(root / "0.npy", values)
    return r"3 values in 2 examples are NaN or infinite, first in example 27: remove or replace"


def overflowing(root):
    values = FLOATS.copy()
    values[29] = 1e300
    np.save(root / "0.npy", values)
    return r"90 values in 1 examples are NaN or infinite, first in example 29 as float32: rescale"


def fortran(root):
    np.save(root / "0.npy", np.asfortranarray(BYTES))
    return r"0\.npy: is in Fortran order, .*ascontiguousarray"


def pickled(root):
    np.save(root / "0.npy", np.array([{}]), allow_pickle=True)
    return r"0\.npy: holds Python objects"


def empty(root):
    return r"no images in this folder .* and no shards"


def constant(root):
    np.save(root / "0.npy", np.ones((30, 6, 5), np.uint8))
    return r"the data is constant"


def no_rows(root):
    np.save(root / "0.npy", BYTES[:0])
    return r"the data is empty"


def not_a_zip(root):
    (root / "0.npz").write_bytes(b"not a zip")
    return r"0\.npz: the file is truncated, damaged or not an \.npz"


BAD = (
    truncated, truncated_npz, damaged_npz, other_shape, other_type, labels_among_shards, labels_of_some, no_number_late,
    overflowing, fortran, pickled, empty, constant, no_rows, not_a_zip,
)  # fmt: skip


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_bad_data_is_one_line_and_nothing_is_written(toy, tmp_path, capsys, spoil):
    (tmp_path / "data").mkdir()
    words = spoil(tmp_path / "data")
    code = cli.main(["fit", "toy", str(tmp_path / "data"), "--stream", "on", "--out", str(tmp_path / "run")])
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("jaxclust: error")]
    assert code == 2
    assert len(lines) == 1
    assert re.search(words, lines[0]), lines[0]
    assert not (tmp_path / "run").exists()


def test_a_small_array_in_fortran_order_is_read_whole(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(BYTES))
    np.testing.assert_array_equal(sources.load(tmp_path / "x.npy", stream="auto").images[..., 0], BYTES)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path):
    np.save(tmp_path / "x.npy", BYTES)
    images = sources.load(tmp_path / "x.npy", stream="on").images
    cut(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"x\.npy: was made shorter while it was read"):
        images[:3]


def test_a_full_disk_is_named(monkeypatch, tmp_path):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"No space left on device.*set TMPDIR"):
        shards.write(Full(), [b"x"])


def test_an_unknown_mode_is_an_error():
    with pytest.raises(InputError, match="stream 'maybe' is unknown: choose auto, on or off"):
        sources.load(BYTES, stream="maybe")


def test_streamed_data_on_another_scale_are_refused(tmp_path):
    plan = prepare.plan(np.concatenate([np.zeros((1, 6, 5, 1), np.uint8), np.full((1, 6, 5, 1), 255, np.uint8)]))
    black = np.zeros((30, 6, 5), np.float32)
    black[29, 0, 0] = 0.5
    with pytest.raises(InputError, match="multiply the images by 255"):
        prepare.apply(plan, sources.load(black, stream="on").images)
    black[29, 0, 0] = 255.0
    black[0, 0, 0] = 0.5  # one dark example alone does not make the scale
    assert prepare.apply(plan, sources.load(black, stream="on").images)[0].max() == 0


def test_stored_arrays_are_read_where_they_lie(tmp_path):
    """Without unpacking: the offset in the .npz is found, whatever the names and extra fields before it."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name, values in (("a long name of another array", FLOATS), ("images", BYTES)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.save(stream, values)
    shard = shards.find(tmp_path / "x.npz")
    assert shard.offset is not None
    np.testing.assert_array_equal(shards.open_rows([shard])[:], BYTES)
    assert dataset.fingerprint(BYTES) == dataset.fingerprint(shards.open_rows([shard]))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_streamed_npz_that_is_damaged_is_noticed_when_it_is_looked_at(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 4096)
    images = np.random.default_rng(0).integers(0, 256, (500, 8, 8)).astype(dtype)
    path = tmp_path / "x.npz"
    np.savez(path, images=images)
    whole = sources.load(path, stream="on")
    assert whole.fingerprint == sources.load(path).fingerprint
    np.testing.assert_array_equal(whole.images[[5, 3, 499]][..., 0], images[[5, 3, 499]])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.npz: is damaged: its checksum is another: write it again"):
        _ = sources.load(path, stream="on").fingerprint
