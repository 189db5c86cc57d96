import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxclust.data import sources
from jaxclust.data.readers import kinds, left_out, listing
from jaxclust.errors import InputError

RNG = np.random.default_rng(0)


def picture(path, mode="L", size=(6, 4), value=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    array = RNG.integers(0, 256, shape, dtype=np.uint8) if value is None else np.full(shape, value, np.uint8)
    Image.fromarray(array, mode=None).save(path, **options)
    return array


def png_of_size(width, height):
    """A PNG whose header announces width x height and which holds next to nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def test_order_hidden_files_and_classes(tmp_path):
    arrays = {n: picture(tmp_path / n) for n in ("b/z.png", "b/deep/y.png", "a/10.png", "a/9.PNG")}
    picture(tmp_path / "a/.hidden.png")
    picture(tmp_path / ".cache/x.png")
    (tmp_path / "a/readme.txt").write_text("no image")
    data = sources.load(tmp_path)
    assert data.images.shape == (4, 4, 6, 1)
    assert data.images.dtype == np.uint8
    for image, name in zip(data.images, ("a/10.png", "a/9.PNG", "b/deep/y.png", "b/z.png"), strict=True):
        np.testing.assert_array_equal(image[..., 0], arrays[name])
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.class_names == ("a", "b")
    assert data.split is None
    assert data.skipped == (("a/readme.txt", left_out.OTHER_KIND),)
    assert data.fingerprint == sources.load(str(tmp_path)).fingerprint


def test_no_classes_without_at_least_two_subfolders(tmp_path):
    picture(tmp_path / "all/1.png")
    picture(tmp_path / "all/2.png")
    assert sources.load(tmp_path).labels is None
    picture(tmp_path / "more/3.png")
    assert sources.load(tmp_path).labels is not None
    picture(tmp_path / "loose.png")
    assert sources.load(tmp_path).labels is None


def test_train_and_test_folders_are_the_split(tmp_path):
    for name in ("train/cat/1.png", "train/dog/1.png", "train/dog/2.png", "test/cat/1.png"):
        picture(tmp_path / name)
    data = sources.load(tmp_path, split="train")
    assert data.images.shape[0] == 3
    assert data.labels.tolist() == [0, 1, 1]
    assert data.class_names == ("cat", "dog")
    assert sources.load(tmp_path, split="test").labels.tolist() == [0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "tiff", "webp", "pgm", "jpg", "jpeg"])
def test_grey_formats(tmp_path, suffix):
    array = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    image = Image.fromarray(array)
    image.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    data = sources.load(tmp_path)
    grey = data.images.astype(int).mean(-1)  # WebP knows only colour
    assert data.images.shape[-1] == (3 if suffix == "webp" else 1)
    assert np.abs(grey[0] - array).max() <= (6 if suffix.startswith("jp") else 0)


def test_colour_and_mixed(tmp_path):
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 200
    Image.fromarray(red).save(tmp_path / "a.ppm")
    grey = picture(tmp_path / "b.png")
    data = sources.load(tmp_path)
    np.testing.assert_array_equal(data.images[0], red)
    np.testing.assert_array_equal(data.images[1], np.repeat(grey[..., None], 3, -1))


def test_transparency_lies_on_white(tmp_path):
    array = np.zeros((4, 4, 4), np.uint8)
    array[:2, :, 3] = 255
    Image.fromarray(array).save(tmp_path / "a.png")
    assert sources.load(tmp_path).images[0, :, 0].tolist() == [[0] * 3, [0] * 3, [255] * 3, [255] * 3]
    Image.fromarray(array[..., 2:]).save(tmp_path / "a.png")  # grey with alpha stays grey
    assert sources.load(tmp_path).images[0, :, 0].tolist() == [[0], [0], [255], [255]]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "a.png", transparency=0)
    assert sources.load(tmp_path).images[0, 0, 0].tolist() == [10, 20, 30]


def test_one_bit_and_floats(tmp_path):
    Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / "a.png")
    assert sources.load(tmp_path).images[0, 0, :, 0].tolist() == [255, 0, 0, 0]
    (tmp_path / "a.png").unlink()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="32-bit floats"):
        sources.load(tmp_path)


def test_first_frame_and_orientation(tmp_path):
    frames = [Image.fromarray(np.full((4, 6), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert (sources.load(tmp_path).images == 10).all()
    (tmp_path / "a.tif").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    frames[0].save(tmp_path / "a.jpg", exif=exif)
    assert sources.load(tmp_path).images.shape == (1, 6, 4, 1)


def test_mixed_sizes_and_image_size(tmp_path):
    picture(tmp_path / "a.png", size=(6, 4))
    picture(tmp_path / "b.png", size=(10, 7))
    with pytest.raises(InputError, match=r"a\.png is 6x4 and b\.png is 10x7: pass --image-size N"):
        sources.load(tmp_path)
    assert sources.load(tmp_path, image_size=8).images.shape == (2, 8, 8, 1)
    for bad in (0, -3, 5000):
        with pytest.raises(InputError, match="image_size"):
            sources.load(tmp_path, image_size=bad)


def test_resizing_averages_and_serves_arrays_too(tmp_path):
    checks = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)  # aliasing would give 0 or 255
    Image.fromarray(checks).save(tmp_path / "a.png")
    from_folder = sources.load(tmp_path, image_size=8).images
    assert np.abs(from_folder[:, 2:-2, 2:-2].astype(int) - 127).max() < 8
    from_array = sources.load(checks[None], image_size=8).images
    np.testing.assert_array_equal(from_folder, from_array)
    as_float = sources.load(np.repeat(checks[None, ..., None] / 255.0, 3, -1), image_size=8).images
    assert as_float.shape == (1, 8, 8, 3)
    assert as_float.dtype == np.float32
    assert abs(as_float.mean() - 0.5) < 0.02
    assert as_float.min() >= 0
    assert as_float.max() <= 1
    step = np.repeat([0.0, 1.0], 16) * np.ones((1, 32, 1))  # Lanczos alone would pass 1 beside the edge
    assert sources.load(step, image_size=20).images.max() <= 1.0
    with pytest.raises(InputError, match="features"):
        sources.load(np.eye(4), image_size=8)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "zeroed"])
def test_bad_images_are_named_or_skipped(tmp_path, damage):
    for name in "ace":
        picture(tmp_path / f"k/{name}.png", size=(40, 40))
    bad = tmp_path / "k/b.jpg"
    picture(bad, size=(40, 40))
    raw = bad.read_bytes()
    bad.write_bytes(
        {"truncated": raw[: len(raw) // 2], "empty": b"", "text": b"hello", "zeroed": bytes(len(raw))}[damage]
    )
    with pytest.raises(InputError, match=r"b\.jpg: .*--skip-bad") as info:
        sources.load(tmp_path)
    assert "\n" not in str(info.value)
    data = sources.load(tmp_path, skip_bad=True)
    [(name, reason)] = data.skipped
    assert name == "k/b.jpg"
    assert reason
    assert len(data.images) == 3
    for name in "ace":
        (tmp_path / f"k/{name}.png").write_bytes(b"")
    with pytest.raises(InputError, match="none of the 4 images"):
        sources.load(tmp_path, skip_bad=True)


def test_image_bombs_are_refused_without_touching_global_state(tmp_path):
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    picture(tmp_path / "a.png", size=(30, 30))
    for side in (11_000, 60_000):  # Pillow would only warn about the first, up to twice its limit
        (tmp_path / "b.png").write_bytes(png_of_size(side, side))
        with warnings.catch_warnings(record=True) as caught, pytest.raises(InputError, match=r"b\.png.*skip-bad"):
            sources.load(tmp_path)
        assert not caught
        assert sources.load(tmp_path, skip_bad=True).skipped[0][0] == "b.png"
    assert limit == Image.MAX_IMAGE_PIXELS
    assert warnings.filters == filters


def test_many_large_images_are_refused_early(tmp_path, monkeypatch):
    for i in range(20):
        picture(tmp_path / f"{i}.png", size=(30, 30), value=i)
    monkeypatch.setattr("jaxclust.data.readers.files.memory_limit", lambda: 5000)
    with pytest.raises(InputError, match="--image-size"):
        sources.load(tmp_path)


def test_formats_that_run_programs_are_not_opened(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")
    with pytest.raises(InputError, match="no image of a known kind"):
        sources.load(tmp_path)


def test_empty_folder_and_single_image(tmp_path):
    with pytest.raises(InputError, match="no images in this folder"):
        sources.load(tmp_path)
    picture(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"single image.*folder"):
        sources.load(tmp_path / "a.png")


def test_stand_in_for_a_stream_is_not_opened(tmp_path):
    import os

    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = listing.walk(tmp_path)
    assert [file.name for file in found.files] == ["a.png"]
    assert found.left_out == [("gone.png", "a link to nothing"), ("pipe.png", "not a regular file")]


def test_damaged_bytes_never_escape(tmp_path):
    """Whatever a decoder makes of damaged bytes, the answer is an image or an InputError."""
    target = tmp_path / "a"
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", *(["AVIF"] if kinds._has("AVIF") else [])):
        stream = io.BytesIO()
        Image.fromarray(RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(stream, kind)
        raw = stream.getvalue()
        for _ in range(30):
            damaged = bytearray(raw)
            for place in RNG.integers(0, len(raw), 6):
                damaged[place] = RNG.integers(256)
            path = target.with_suffix(".jp2" if kind == "JPEG2000" else f".{kind.lower()}")
            path.write_bytes(damaged)
            with contextlib.suppress(InputError):
                assert sources.load(tmp_path, image_size=8).images.shape[:3] == (1, 8, 8)
            path.unlink()


def pages(path, images):
    first, *others = map(Image.fromarray, images)
    first.save(path, save_all=True, append_images=others)
    return path


@pytest.mark.parametrize("stream", ["off", "on"])
def test_pages_of_one_file_are_examples(tmp_path, stream):
    rng = np.random.default_rng(0)
    for kind, high in ((np.uint8, 255), (np.uint16, 4000)):
        images = rng.integers(0, high, (5, 12, 10)).astype(kind)
        found = sources.load(pages(tmp_path / "stack.tif", images), stream=stream)
        np.testing.assert_array_equal(found.images[:][..., 0], images)
        assert (found.named, found.names.tolist()) == ("page", list("01234"))
        assert found.depth == (None if kind is np.uint8 else 12)
    found = sources.load(pages(tmp_path / "moving.gif", images.astype(np.uint8)), stream=stream)
    assert found.images.shape[:3] == (5, 12, 10)


def test_pages_of_several_sizes_one_page_and_a_damaged_file(tmp_path):
    images = [np.zeros((8, 8), np.uint8), np.zeros((6, 6), np.uint8)]
    path = pages(tmp_path / "mixed.tif", images)
    with pytest.raises(InputError, match="differ in size, 0 is 8x8 and 1 is 6x6"):
        sources.load(path)
    assert sources.load(path, image_size=4).images.shape == (2, 4, 4, 1)
    with pytest.raises(InputError, match="a single image cannot be clustered"):
        sources.load(pages(tmp_path / "one.tif", images[:1]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"mixed\.tif: cannot be read as an image"):
        sources.load(path)


def test_the_line_of_a_bad_file_counts_the_others(tmp_path):
    for name in "abcd":
        picture(tmp_path / f"{name}.png")
    for name in ("b", "d"):
        (tmp_path / f"{name}.png").write_bytes(b"broken")
    line = r"b\.png: cannot be read as an image \(.*\), nor can 1 other of 4 files: mend it, or pass --skip-bad"
    with pytest.raises(InputError, match=line):
        sources.load(tmp_path)
