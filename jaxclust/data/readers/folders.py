"""A folder of images, read with Pillow: sorted, bounded, with the top sub-folders as classes for evaluation."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxclust.data.readers import shards
from jaxclust.data.readers.files import check_size
from jaxclust.data.readers.found import Found
from jaxclust.data.rows import Images, prefetched
from jaxclust.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # nothing that calls another program
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
SPLIT_FOLDERS = {"train": 0, "test": 1}
MIN_SIZE, MAX_SIZE = 4, 1024


def read_folder(
    root: Path, *, image_size: int | None = None, skip_bad: bool = False, paths: list[Path] | None = None
) -> Found:
    """Reads every image below `root`, in the order of their paths; hidden files and folders are left out.

    Grey images stay at one channel; with a single colour image among them, all become RGB. Transparency is put on
    white, EXIF orientation applied, 16-bit grey scaled to 8 bits, the first frame of several taken. Classes are the top
    sub-folders; if these are named 'train' and 'test' they are the split, and the folders below them the classes.
    paths: the files to read, all of them below `root`, in this order; by default all images there.
    Raises InputError for mixed sizes without `image_size`, and for a file that cannot be read unless `skip_bad`.
    """
    check_image_size(image_size)
    paths = paths or _listed(root)
    kept: list[Path] = []
    skipped: list[tuple[str, str]] = []
    pixels = _checked(root, paths, image_size, skip_bad, kept, skipped, map(partial(_try, image_size), paths))
    images = _stack(list(pixels))
    return _found(root, images, kept, skipped)


def open_folder(
    root: Path, *, image_size: int | None = None, skip_bad: bool = False, paths: list[Path] | None = None
) -> Found:
    """`read_folder` with the pixels in a temporary file: every image is decoded once, whatever its format."""
    check_image_size(image_size)
    paths = paths or _listed(root)
    kept: list[Path] = []
    skipped: list[tuple[str, str]] = []
    colours: list[bool] = []
    shape: tuple[int, ...] = ()
    read = prefetched(lambda i: _try(image_size, paths[i]), range(len(paths)))

    def pixels() -> Iterator[bytes]:
        nonlocal shape
        for array in _checked(root, paths, image_size, skip_bad, kept, skipped, read, bounded=False):
            colours.append(array.ndim == 3)
            shape = array.shape[:2]
            yield array.tobytes()

    file = shards.temporary(pixels())
    if any(colours) and not all(colours):
        with file:
            images = shards.stored(_as_rgb(file, colours, shape), (len(kept), *shape, 3), np.uint8)
    else:
        images = shards.rows_of(file, (len(kept), *shape, 3 if any(colours) else 1), np.uint8)
    return _found(root, images, kept, skipped)


def _found(root: Path, images: Images, kept: list[Path], skipped: list[tuple[str, str]]) -> Found:
    paths = [path.relative_to(root) for path in kept]
    labels, split = _classes(paths)
    names = np.array([path.as_posix() for path in paths], object)
    return Found(images, labels, None, split, names, tuple(skipped), "file")


def size_of(root: Path, image_size: int | None, paths: list[Path] | None = None) -> tuple[int, ...]:
    """The shape (n, h, w, 3) of a folder's images, colour assumed, as the first that can be read tells it."""
    from PIL import Image

    paths = paths or _listed(root)
    if image_size is not None:
        return (len(paths), image_size, image_size, 3)
    for path in paths:
        with suppress(Exception), Image.open(path, formats=FORMATS) as image:  # damaged ones are named when read
            return (len(paths), image.height, image.width, 3)
    return (len(paths), 0, 0, 3)


def _listed(root: Path) -> list[Path]:
    paths = list_images(root)
    if not paths:
        raise InputError(
            f"{root}: no images in this folder (looked for {', '.join(s[1:] for s in SUFFIXES)}) and no shards (.npy, "
            ".npz): check the path"
        )
    return paths


def _checked(
    root: Path,
    paths: list[Path],
    image_size: int | None,
    skip_bad: bool,
    kept: list[Path],
    skipped: list[tuple[str, str]],
    read: Iterable["tuple[np.ndarray, tuple[int, int]] | _Unreadable"],
    *,
    bounded: bool = True,
) -> Iterator[np.ndarray]:
    """The images that can be used, their paths put into `kept`, those of others into `skipped`.

    bounded: whether all must fit into memory.
    """
    first_size: tuple[int, int] | None = None
    for path, result in zip(paths, read, strict=True):
        if isinstance(result, _Unreadable):
            if not skip_bad:
                raise InputError(
                    f"{path}: cannot be read as an image ({result}): mend it, or pass --skip-bad"
                ) from result
            skipped.append((path.relative_to(root).as_posix(), str(result)))
            continue
        array, size = result
        if first_size is None:
            first_size, grey = size, array.ndim == 2
            if bounded:
                needed = len(paths) * array.size * (3 if grey else 1)
                check_size(str(root), needed, "pass --image-size N to shrink them, or --stream on")
        if image_size is None and size != first_size:
            raise InputError(
                f"{root}: images differ in size, {kept[0].relative_to(root)} is {_times(first_size)} and "
                f"{path.relative_to(root)} is {_times(size)}: pass --image-size N, "
                "in Python load_data(..., image_size=N), to resize all to N x N"
            )
        kept.append(path)
        yield array
    if not kept:
        raise InputError(
            f"{root}: none of the {len(paths)} images can be read (first: {skipped[0][0]}): mend the files"
        )


def list_images(root: Path) -> list[Path]:
    """Image files below `root`, sorted by their relative path, part by part. Links to folders are not followed."""
    found: list[Path] = []
    for directory, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".")]
        found.extend(Path(directory, n) for n in names if not n.startswith(".") and n.lower().endswith(SUFFIXES))
    files = [p for p in found if p.is_file()]  # no pipes, no broken links
    return sorted(files, key=lambda p: p.relative_to(root).parts)


def check_image_size(image_size: int | None) -> None:
    """Raises InputError unless None or a whole number from 4 to 1024."""
    if image_size is not None and not MIN_SIZE <= image_size <= MAX_SIZE:
        raise InputError(f"image_size {image_size} is out of range: give {MIN_SIZE} to {MAX_SIZE}")


def resize(images: np.ndarray, side: int, ends: tuple[float, float] | None = None) -> np.ndarray:
    """(n, h, w, c) uint8 or float32 -> (n, side, side, c), same dtype: Lanczos, which averages when it shrinks.

    ends: the lowest and highest value that may come out; those of `images` if not given.
    """
    from PIL import Image

    check_image_size(side)
    if images.shape[1:3] == (side, side):
        return images
    out = np.empty((len(images), side, side, images.shape[3]), images.dtype)
    low, high = ends or (images.min(), images.max())
    for i, image in enumerate(images):
        for channel in range(images.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            out[i, ..., channel] = np.asarray(plane.resize((side, side), Image.Resampling.LANCZOS))
    return np.clip(out, low, high)  # Lanczos overshoots at edges


class _Unreadable(Exception):
    """An image that cannot be used, with the reason."""


def _read_image(path: Path, image_size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """((h, w) or (h, w, 3) uint8, (width, height) as stored). Any failure of a decoder is an _Unreadable."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_pixels(image)
                image.load()
                upright = ImageOps.exif_transpose(image)
                size = upright.size
                plain = _plain(upright)
                if image_size is not None:
                    plain = plain.resize((image_size, image_size), Image.Resampling.LANCZOS)
                return np.asarray(plain, np.uint8), size
    except _Unreadable:
        raise
    except Exception as error:  # decoders fail in many ways on damaged files: OSError, SyntaxError, struct.error, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _Unreadable(reason) from error


def _try(image_size: int | None, path: Path) -> "tuple[np.ndarray, tuple[int, int]] | _Unreadable":
    """`_read_image`, or why it cannot be used."""
    try:
        return _read_image(path, image_size)
    except _Unreadable as error:
        return error


def _check_pixels(image: Any) -> None:
    """Refuses more pixels than Pillow's MAX_IMAGE_PIXELS (which warns only, up to twice that number)."""
    from PIL import Image

    width, height = image.size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise _Unreadable(f"{width} x {height} pixels exceed the limit of {limit}")


def _plain(image: Any) -> Any:
    """A Pillow image of mode 'L' or 'RGB'."""
    from PIL import Image

    grey = image.mode in GREY_MODES or (image.mode == "P" and _is_grey(image))
    if image.mode == "F":
        raise _Unreadable("pixels are 32-bit floats, whose range is unknown; convert to 8 bits or to .npy")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise _Unreadable("whole numbers beyond 16 bits; convert to 8 bits or to .npy")
        return Image.fromarray(np.rint(values / 257.0).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    return image.convert("L" if grey else "RGB")


def _is_grey(image: Any) -> bool:
    """Whether a palette image shows grey levels only, as a grey GIF does."""
    red, green, blue = (np.asarray(c) for c in image.convert("RGB").split())
    return bool((red == green).all() and (green == blue).all())


def _stack(pixels: list[np.ndarray]) -> np.ndarray:
    if all(p.ndim == 2 for p in pixels):
        return np.stack(pixels)[..., None]
    return np.stack([p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pixels])


def _as_rgb(file: IO[bytes], colours: list[bool], shape: tuple[int, ...]) -> Iterator[bytes]:
    """Images of one and of three channels, one after the other in a file, all with three."""
    file.seek(0)
    for colour in colours:
        pixels = file.read(shape[0] * shape[1] * (3 if colour else 1))
        yield pixels if colour else np.repeat(np.frombuffer(pixels, np.uint8), 3).tobytes()


def _classes(paths: list[Path]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Class names by top sub-folder (None unless every image lies in one, and there are two or more), and the split."""
    parents = [p.parts[:-1] for p in paths]
    split = None
    if all(parents) and {p[0].lower() for p in parents} == set(SPLIT_FOLDERS):
        split = np.array([SPLIT_FOLDERS[p[0].lower()] for p in parents], np.int8)
        parents = [p[1:] for p in parents]
    if not all(parents) or len({p[0] for p in parents}) < 2:
        return None, split
    return np.array([p[0] for p in parents]), split


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
