"""One image file becomes pixels: upright, on white, grey or RGB, of 8 bits or more, in bounded memory."""

import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data.readers import files, kinds
from jaxclust.data.readers.kinds import Unreadable
from jaxclust.data.readers.listing import File
from jaxclust.errors import InputError

MIN_SIZE, MAX_SIZE = 4, 1024
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
LARGE = 1 << 24  # pixels: beyond that images are shrunk in strips before they are resized
STRIP = 1 << 22  # pixels of a strip
GAP = 3  # times the side that is asked for: no shrinking in strips below that
PAGED = ("TIFF", "GIF", "PNG", "WEBP", "AVIF")  # several images are pages or frames; in MPO and HEIC, other views
UPPER = re.compile("(LA|RGB|RGBA|RGBX|CMYK);16[BLN]")  # how Pillow calls colours of 16 bits that it cuts to 8
BYTES = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # the other order has the lower 8
TURNED = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")


class Look(NamedTuple):
    """How files are looked at.

    image_size: images are resized to image_size x image_size.
    max_pixels: larger files are refused; by default Pillow's limit.
    depth: 8: files of 16 bits become 8 bits, 0..65535 as 0..255. None or more: they keep their values.
    """

    image_size: int | None = None
    max_pixels: int | None = None
    depth: int | None = None


class Picture(NamedTuple):
    """(h, w) or (h, w, 3), uint8, or float32 whole numbers where the file has 16 bits; (width, height) when upright.

    several: whether the file holds more pages or frames. upper: whether 8 of 16 bits are lost.
    """

    array: np.ndarray
    size: tuple[int, int]
    several: bool = False
    upper: bool = False


def check(look: Look) -> None:
    """Raises InputError for settings out of range."""
    check_image_size(look.image_size)
    if look.max_pixels is not None and not (isinstance(look.max_pixels, Integral) and look.max_pixels >= 1):
        raise InputError(f"max_pixels {look.max_pixels!r} is out of range: give a whole number of 1 or more")


def check_image_size(image_size: int | None) -> None:
    """Raises InputError unless None or a whole number from 4 to 1024."""
    if image_size is not None and not (isinstance(image_size, Integral) and MIN_SIZE <= image_size <= MAX_SIZE):
        raise InputError(f"image_size {image_size!r} is out of range: give a whole number, {MIN_SIZE} to {MAX_SIZE}")


@contextmanager
def quiet() -> Iterator[None]:
    """Decoders say nothing of odd files. Filters of warnings are the process's, so that threads do not set them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read(file: File, look: Look) -> Picture | Unreadable:
    """The image of a file, its first page or frame, or why it cannot be used."""
    try:
        with file.open() as stream, ExitStack() as more:
            return _whole(kinds.opened(stream), lambda: kinds.opened(more.enter_context(file.open())), look)
    except Exception as error:
        return _unreadable(error)


def pages(file: File, look: Look) -> Iterator[Picture | Unreadable]:
    """The pages or frames of a file, one after the other, each as `read` gives a file."""

    def turned_to(image: Any, page: int) -> Any:
        image.seek(page)
        return image

    with file.open() as stream, file.open() as again:
        image, lower = kinds.opened(stream), None
        for page in range(getattr(image, "n_frames", 1)):
            try:
                image.seek(page)
                lower = lower or kinds.opened(again)
                yield _whole(image, partial(turned_to, lower, page), look)._replace(several=False)
            except Exception as error:
                yield _unreadable(error)


def _whole(image: Any, again: Callable[[], Any], look: Look) -> Picture:
    """An opened image. again: opens it once more, for the lower 8 of 16 bits."""
    cut = any(UPPER.search(str(tile[3])) for tile in image.tile)
    if not cut or image.mode != "RGB" or "transparency" in image.info or look.depth == 8:
        return of_image(image, look)._replace(upper=cut and look.depth != 8)
    return of_image(image, look, _lower(again()))


def _unreadable(error: Exception) -> Unreadable:
    """Decoders fail in many ways on damaged files: OSError, SyntaxError, struct.error, ..."""
    if isinstance(error, Unreadable):
        return error
    unreadable = Unreadable(str(error).splitlines()[0] if str(error) else type(error).__name__)
    unreadable.__cause__ = error
    return unreadable


def size_of(file: File) -> tuple[int, int] | None:
    """(width, height) as the header tells it, if it does."""
    with suppress(Exception), quiet(), file.open() as stream:  # damaged ones are named when they are read
        width, height = kinds.opened(stream).size
        return width, height
    return None


def count_of(file: File) -> tuple[int, tuple[int, int]]:
    """How many pages or frames a file has, 1 where its format has none, and (width, height). Raises InputError."""
    try:
        with quiet(), file.open() as stream:
            image = kinds.opened(stream)
            return getattr(image, "n_frames", 1) if image.format in PAGED else 1, image.size
    except Exception as error:
        raise InputError(f"{file.place}: cannot be read as an image ({_unreadable(error)}): mend it") from error


def of_image(image: Any, look: Look, lower: Any = None) -> Picture:
    """A Pillow image: as `read`. Raises Unreadable, and what its decoder raises.

    lower: the lower 8 bits of an RGB image of 16 bits, of which `image` has the upper ones.
    """
    several = False
    with suppress(Exception):  # a page that is damaged says nothing about the first
        several = image.format in PAGED and bool(getattr(image, "is_animated", False))
    _check_pixels(image, look)
    side = look.image_size
    shrunk = side if side is not None and image.width * image.height > LARGE else None
    if shrunk is not None:
        image.draft(None, (GAP * shrunk, GAP * shrunk))
    _check_memory(image)
    image.load()
    turned = image.getexif().get(0x0112, 1)
    size = image.size if turned < 5 else image.size[::-1]
    images = [image] if lower is None else [image, lower]
    planes = _planes(images, look.depth) if shrunk is None else _shrunk(images, shrunk, look.depth)
    arrays = [_finished(plane, turned, side) for plane in planes]
    return Picture(arrays[0] if len(arrays) == 1 else np.stack(arrays, -1), size, several)


def _lower(image: Any) -> Any:
    """An image whose decoder takes the lower 8 of 16 bits, where Pillow takes the upper ones."""

    def swapped(mode: str) -> str:
        return mode[:-1] + BYTES[mode[-1]]

    for place, tile in enumerate(image.tile):
        args = swapped(tile[3]) if isinstance(tile[3], str) else (swapped(tile[3][0]), *tile[3][1:])
        image.tile[place] = tile._replace(args=args)
    return image


def _check_pixels(image: Any, look: Look) -> None:
    """Refuses more pixels than `max_pixels`, or Pillow's limit, which it only warns of up to twice that number."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS if look.max_pixels is None else look.max_pixels
    number = image.width * image.height
    if limit is not None and number > limit:
        shrink = "" if look.image_size else "with --image-size N "
        raise Unreadable(
            f"{image.width} x {image.height} pixels exceed the limit of {limit}",
            f"pass --max-pixels {number} {shrink}where the file is to be trusted, or --skip-bad",
        )


def _check_memory(image: Any) -> None:
    """Refuses what would take half of the memory once it is unpacked."""
    if image.width * image.height <= LARGE:
        return
    needed = image.width * image.height * (1 if image.mode in ("1", "L", "P") else 4)
    limit = files.memory_limit() // 2
    if needed > limit:
        raise Unreadable(
            f"{image.width} x {image.height} pixels take {needed / files.GIB:.1f} GiB of memory, the limit is "
            f"{limit / files.GIB:.1f} GiB",
            "shrink it, or pass --skip-bad",
        )


def _planes(images: Sequence[Any], depth: int | None) -> list[Any]:
    """`_plain` of an image; or of its upper and its lower 8 bits three images of mode 'F', one a colour."""
    from PIL import Image

    if len(images) == 1:
        return [_plain(images[0], depth)]
    upper, lower = (np.asarray(image).astype(np.float32) for image in images)
    return [Image.fromarray(np.ascontiguousarray(values)) for values in np.moveaxis(256 * upper + lower, 2, 0)]


def _plain(image: Any, depth: int | None) -> Any:
    """A Pillow image of mode 'L' or 'RGB', or 'F' with whole numbers of 16 bits."""
    from PIL import Image

    if image.mode == "F":
        raise Unreadable("pixels are 32-bit floats, whose range is unknown; convert to 8 bits or to .npy")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise Unreadable("whole numbers beyond 16 bits; convert to 8 bits or to .npy")
        if depth == 8:
            return Image.fromarray(np.rint(values / 257.0).astype(np.uint8))
        return Image.fromarray(values.astype(np.float32))
    grey = image.mode in GREY_MODES or (image.mode == "P" and _is_grey(image))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    return image.convert("L" if grey else "RGB")


def _is_grey(image: Any) -> bool:
    """Whether a palette image shows grey levels only, as a grey GIF does."""
    palette = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    used = palette[[index for _, index in image.getcolors(256) if index < len(palette)]]
    return bool((used == used[:, :1]).all())


def _shrunk(images: Sequence[Any], side: int, depth: int | None) -> list[Any]:
    """`_planes`, at least GAP x side pixels wide and high: means of blocks, taken strip by strip, so that what a large
    image takes is little more than its own pixels."""
    from PIL import Image

    image = images[0]
    across, down = (max(1, length // (GAP * side)) for length in image.size)
    rows = down * max(1, STRIP // (image.width * down))
    mode = "RGB" if image.mode == "P" and not _is_grey(image) else None
    strips = []
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        planes = _planes([each.crop(box) for each in images], depth)
        reduced = [(plane.convert(mode) if mode else plane).reduce((across, down)) for plane in planes]
        strips.append([np.asarray(plane) for plane in reduced])
    return [Image.fromarray(np.concatenate(plane)) for plane in zip(*strips, strict=True)]


def _finished(plain: Any, turned: int, side: int | None) -> np.ndarray:
    """As EXIF's `turned` says it is upright, and of side x side pixels where that is given."""
    from PIL import Image

    if 2 <= turned <= 8:
        plain = plain.transpose(Image.Transpose[TURNED[turned - 2]])
    if side is None:
        return np.asarray(plain)
    resized = np.asarray(plain.resize((side, side), Image.Resampling.LANCZOS))
    return np.clip(resized, *plain.getextrema()) if plain.mode == "F" else resized  # Lanczos overshoots at edges


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
