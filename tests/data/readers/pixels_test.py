import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxclust.data import prepare, sources
from jaxclust.data.readers import files, folders, pixels
from jaxclust.errors import InputError

RNG = np.random.default_rng(0)


def deep(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint16)).save(path)


def loaded(root, **options):
    """The set as it is read into memory, which is what streaming gives."""
    data = sources.load(root, **options)
    streamed = sources.load(root, stream="on", **options)
    np.testing.assert_array_equal(streamed.images[:], data.images)
    assert streamed.images.dtype == data.images.dtype
    assert streamed[2:4] == data[2:4] or data.labels is not None
    assert streamed.skipped == data.skipped
    assert streamed.depth == data.depth
    return data


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_levels_of_more_than_8_bits_are_kept(tmp_path, bits, suffix):
    levels = np.linspace(0, 2**bits - 1, 256).round().reshape(1, 16, 16)
    deep(tmp_path / f"a.{suffix}", levels[0])
    deep(tmp_path / f"b.{suffix}", levels[0] // 2)
    data = loaded(tmp_path)
    np.testing.assert_array_equal(data.images[0, ..., 0], levels[0])
    assert data.depth == bits
    plan = prepare.plan(data.images)
    assert (plan.low, plan.high) == (0, 2**bits - 1)
    assert prepare.apply(plan, data.images)[0].ravel().tolist() == list(range(256))
    (tmp_path / f"a.{suffix}").unlink()  # the range is the model's and not that of the images that are shown
    alone = sources.load(tmp_path, depth=data.depth)
    np.testing.assert_array_equal(prepare.apply(plan, alone.images), prepare.apply(plan, data.images[1:]))


def test_files_of_8_bits_among_deeper_ones_share_their_range(tmp_path, caplog):
    deep(tmp_path / "a.png", np.full((4, 4), 4095))
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "b.png")
    Image.fromarray(np.full((4, 4, 3), 51, np.uint8)).save(tmp_path / "c.png")
    data = loaded(tmp_path)
    assert data.images.shape == (3, 4, 4, 3)
    np.testing.assert_allclose(data.images[:, 0, 0, 0], [4095, 4095, 819])
    assert f"{tmp_path}: 2 of 3 files have 8 bits, among others of 16: 0..255 is read as 0..4095" in caplog.messages
    (tmp_path / "a.png").unlink()
    np.testing.assert_allclose(loaded(tmp_path, depth=12).images[:, 0, 0, 0], [4095, 819])
    assert loaded(tmp_path).images.dtype == np.uint8


def test_a_model_of_8_bits_sees_16_as_8(tmp_path):
    deep(tmp_path / "a.png", np.array([[0, 257, 32896, 65535]] * 4))
    assert loaded(tmp_path, depth=8).images[0, 0, :, 0].tolist() == [0, 1, 128, 255]


def test_deep_images_are_resized_within_their_values(tmp_path):
    deep(tmp_path / "a.png", np.repeat([[100, 4000]], 16, 1).repeat(32, 0))
    images = loaded(tmp_path, image_size=20).images
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (100, 4000)


def png16(array):
    """A colour PNG of 16 bits (h, w, 3 or 4), which Pillow does not write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(array, order, compression):
    """A colour TIFF of 16 bits, byte order '<' or '>', raw (1) or deflated (8)."""
    height, width, _ = array.shape
    data = array.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if compression == 8 else data
    fields = {256: width, 257: height, 258: None, 259: compression, 262: 2, 273: None, 277: 3, 278: height}
    fields[279] = len(data)
    after = 8 + 2 + 12 * len(fields) + 4
    out = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(fields))
    for tag, value in fields.items():
        if tag == 258:
            out += struct.pack(f"{order}HHII", tag, 3, 3, after)
        else:
            out += struct.pack(f"{order}HHII", tag, 4, 1, after + 6 if value is None else value)
    return out + struct.pack(f"{order}IHHH", 0, 16, 16, 16) + data


COLOURS = (np.arange(5 * 4 * 3).reshape(5, 4, 3) * 1000 + 7).astype(np.uint16)


@pytest.mark.parametrize(
    "content", [png16(COLOURS), *(tiff16(COLOURS, order, kind) for order in "<>" for kind in (1, 8))]
)
def test_colours_of_16_bits_are_kept(tmp_path, content, monkeypatch, caplog):
    (tmp_path / "a").write_bytes(content)
    data = loaded(tmp_path)
    np.testing.assert_array_equal(data.images[0], COLOURS)
    assert data.depth == 16
    np.testing.assert_array_equal(loaded(tmp_path, depth=8).images[0], COLOURS >> 8)
    whole = loaded(tmp_path, image_size=4).images
    monkeypatch.setattr(pixels, "LARGE", 1)
    np.testing.assert_allclose(loaded(tmp_path, image_size=4).images, whole)
    assert not caplog.messages


def test_colours_of_16_bits_with_transparency_are_said_to_be_cut(tmp_path, caplog):
    array = np.full((4, 4, 4), 0x1234)
    array[..., 3] = 0xFFFF
    (tmp_path / "a.png").write_bytes(png16(array))
    data = loaded(tmp_path)
    assert (data.images == 0x12).all()
    assert (
        caplog.messages
        == [f"{tmp_path}: 1 of 1 files have colours of 16 bits and transparency: the upper 8 are read"] * 2
    )


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
def test_the_first_page_or_frame_is_read_and_more_are_told(tmp_path, caplog, suffix):
    frames = [Image.fromarray(np.full((4, 6), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / f"b.{suffix}")
    data = loaded(tmp_path)
    assert np.abs(data.images - 10.0).max() <= 2
    assert caplog.messages == [f"{tmp_path}: 1 of 2 files hold several pages or frames: the first of each is read"] * 2


@pytest.mark.parametrize("turned", range(1, 9))
def test_orientation(tmp_path, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    Image.fromarray(RNG.integers(0, 256, (4, 6), dtype=np.uint8)).save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(sources.load(tmp_path).images[0, ..., 0], expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "JPEG"])
def test_large_scans_are_shrunk_in_strips(tmp_path, monkeypatch, mode):
    ramp = np.add.outer(np.arange(300), np.arange(200)) / 2
    image = Image.fromarray(ramp.astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray((ramp * 16).astype(np.uint16))
    elif mode == "P":
        image = image.convert("RGB").quantize(256)
    elif mode != "JPEG":
        image = image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / ("a.jpg" if mode == "JPEG" else "a.png"), exif=exif)
    whole = sources.load(tmp_path, image_size=16).images.astype(float)
    monkeypatch.setattr(pixels, "LARGE", 1000)
    monkeypatch.setattr(pixels, "STRIP", 3000)
    shrunk = loaded(tmp_path, image_size=16).images.astype(float)
    assert shrunk.shape == whole.shape
    assert np.abs(shrunk - whole).max() <= 0.02 * max(whole.max(), 1) + (1 if mode != "1" else 12)


def test_more_pixels_are_read_where_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (60, 50), 7).save(tmp_path / "a.png")  # three times the limit: Pillow itself would refuse it
    with pytest.raises(InputError, match=r"60 x 50 .* limit of 1000\): pass --max-pixels 3000 where"):
        sources.load(tmp_path, image_size=8)
    assert (loaded(tmp_path, image_size=8, max_pixels=3000).images == 7).all()
    with pytest.raises(InputError, match="limit of 2999"):
        sources.load(tmp_path, max_pixels=2999)
    with pytest.raises(InputError, match="max_pixels 0 is out of range"):
        sources.load(tmp_path, max_pixels=0)
    for name in ("max_pixels", "image_size"):
        for value in ("8", 8.5, [8]):
            with pytest.raises(InputError, match=rf"{name} .* is out of range: give a whole number"):
                sources.load(tmp_path, **{name: value})
    monkeypatch.setattr(pixels, "LARGE", 1000)
    monkeypatch.setattr(files, "memory_limit", lambda: 5000)
    with pytest.raises(InputError, match=r"GiB of memory.*shrink it"):
        sources.load(tmp_path, max_pixels=3000)


def test_parts_and_classes():
    def of(*names, wrapped=False):
        labels, split, note = folders.classes([f"{name}/1.png" for name in names], wrapped)
        return labels if labels is None else labels.tolist(), split if split is None else split.tolist(), note

    assert of("train/a", "train/b", "test/a") == (["a", "b", "a"], [0, 0, 1], "")
    assert of("train/a", "val/b") == (["a", "b"], [0, 1], "")
    assert of("Train/a", "valid/b", "TEST/a") == (["a", "b", "a"], [0, 0, 1], "")
    assert of("training/a", "validation/b", "testing/b") == (["a", "b", "b"], [0, 0, 1], "")
    assert of("train/a", "train/b") == (["a", "b"], [0, 0], "")
    assert of("train", "val") == (None, [0, 1], "")
    assert of("train", "plane") == (["train", "plane"], None, "")  # one of them alone may be a class
    labels, split, note = of("train/a", "test/b", "extra/c")
    assert labels is split is None
    assert note == "the folders tell neither parts nor classes: test and train are parts of data, extra is none"
    assert of("all/train/a", "all/val/b") == (None, None, "")
    assert of("all/train/a", "all/val/b", wrapped=True) == (["a", "b"], [0, 1], "")
    assert of("all/a", "all/b", wrapped=True) == (["a", "b"], None, "")
