"""Many small images as a few WebP sheets, so that a page holds tens of thousands of them."""

import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxclust.report.grids import Pixels

SIDES = (128, 96, 64, 48, 32)  # pixels: the largest of which all images fit, else as many as fit of the smallest
SHEET = 1024  # pixels a side, at most
QUALITY = 75
TRIED, MARGIN = 256, 1.02  # images by which the size of all is foretold, and what is added for safety

Read = Callable[[np.ndarray], Pixels]


class Sheets(NamedTuple):
    """Tiles row by row in sheets of one form.

    width, height: of a tile, in pixels.  columns, rows: tiles in a sheet.  n: tiles in all.  files: WebP.
    """

    width: int
    height: int
    columns: int
    rows: int
    n: int
    files: list[bytes]


def planned(read: Read, n: int, shape: tuple[int, ...], budget: int) -> tuple[tuple[int, int], int]:
    """Width and height of a tile, and how many of n images will fit into `budget` bytes: many fit as small tiles.

    read: row numbers (m,) -> images (m, h, w, c) uint8, c 1 or 3.  shape: of the images, (h, w, c).
    """
    height, width = shape[:2]
    tried = np.unique(np.linspace(0, n - 1, min(n, TRIED)).astype(int))
    some = read(tried)
    for side in SIDES:
        scale = min(1.0, side / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        each = MARGIN * len(_encoded(_sheet(_resized(some, size), *_form(size, len(some))))) / len(some)
        if each * n <= budget:
            return size, n
    return size, int(budget / each)


def packed(read: Read, n: int, size: tuple[int, int], budget: int) -> Sheets:
    """n images as sheets of tiles of that width and height: the first ones, should all of them pass the budget."""
    columns, rows = _form(size, n)

    def sheet(start: int, stop: int) -> bytes:
        return _encoded(_sheet(_resized(read(np.arange(start, stop)), size), columns, rows))

    files: list[bytes] = []
    for start in range(0, n, columns * rows):
        left, stop = budget - sum(map(len, files)), min(n, start + columns * rows)
        file = sheet(start, stop)
        if len(file) > left:  # the last one: as much of it as still fits, by halves
            while len(file) > left and stop > start + 1:
                stop = start + (stop - start) // 2
                file = sheet(start, stop)
            kept = [file] if len(file) <= left else []
            return Sheets(*size, columns, rows, stop if kept else start, files + kept)
        files.append(file)
    return Sheets(*size, columns, rows, n, files)


def _form(size: tuple[int, int], n: int) -> tuple[int, int]:
    """Columns and rows of a sheet: near a square, no larger than n tiles need."""
    columns = max(1, min(SHEET // size[0], int(np.ceil(np.sqrt(n)))))
    return columns, max(1, min(SHEET // size[1], -(-n // columns)))


def _resized(images: Pixels, size: tuple[int, int]) -> Pixels:
    from PIL import Image

    if images.shape[2:0:-1] == size:
        return images

    def small() -> Iterator[Pixels]:
        for image in images:
            picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
            yield np.asarray(picture.resize(size, Image.Resampling.LANCZOS)).reshape(size[1], size[0], -1)

    return np.stack(list(small()))


def _sheet(tiles: Pixels, columns: int, rows: int) -> Pixels:
    n, height, width, channels = tiles.shape
    whole = np.zeros((columns * rows, height, width, channels), np.uint8)
    whole[:n] = tiles
    grid = whole.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)


def _encoded(sheet: Pixels) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    picture = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
    picture.save(file, "WEBP", quality=QUALITY, method=0)
    return file.getvalue()
