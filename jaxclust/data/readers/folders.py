"""Sets of image files, of a folder or an archive: sorted, bounded, with sub-folders as classes or as parts."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from jaxclust.data.readers import kinds, listing, pixels, shards
from jaxclust.data.readers.files import check_size
from jaxclust.data.readers.found import Found
from jaxclust.data.readers.kinds import Unreadable
from jaxclust.data.readers.left_out import ARRAY
from jaxclust.data.readers.listing import File, Listing, of_path
from jaxclust.data.readers.pixels import Look, Picture
from jaxclust.data.rows import Images, prefetched
from jaxclust.errors import InputError

log = logging.getLogger(__name__)

# Folders that are parts of the data and no classes. Validation is the test part where there is no other.
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
COUNTED = 10_000  # files, at most, whose headers are looked at to tell how many are bad
SPREAD = 9  # bits, at least, of files of 16 bits


class _Set:
    """What is known of a set of image files while it is read."""

    def __init__(self, found: Listing):
        self.root, self.wrapped = found.root, found.wrapped
        self.names: list[str] = []
        self.skipped = list(found.left_out)
        self.forms: list[tuple[int, bool]] = []  # channels, and whether of 16 bits
        self.shape: tuple[int, int] = (0, 0)
        self.largest = 0.0
        self.several = self.upper = 0

    def add(self, file: File, picture: Picture) -> None:
        """Take an image into the set."""
        array = picture.array
        self.names.append(file.name)
        self.forms.append(_form_of(array))
        self.shape = (array.shape[0], array.shape[1])
        self.largest = max(self.largest, float(array.max()))
        self.several += picture.several
        self.upper += picture.upper

    def found(self, images: Images, depth: int | None, labelled: bool) -> Found:
        """All that is known, once it is read; the log says what is not as one would think."""
        labels, split, note = classes(self.names, self.wrapped) if labelled else (None, None, "")
        of = f"of {len(self.names)} files"
        shallow = sum(not deep for _, deep in self.forms)
        notes: dict[str, object] = {
            f"{self.several} {of} hold several pages or frames: the first of each is read": self.several,
            f"{self.upper} {of} have colours of 16 bits and transparency: the upper 8 are read": self.upper,
            f"{shallow} {of} have 8 bits, among others of 16: 0..255 is read as 0..{2 ** (depth or 8) - 1}": depth
            and shallow,
            note: note,
        }
        for told in (note for note, holds in notes.items() if holds):
            log.warning("%s: %s", self.root, told)
        names = np.array(self.names, object)
        return Found(images, labels, None, split, names, tuple(sorted(self.skipped)), "file", depth)


def read(
    found: Listing,
    look: Look,
    *,
    skip_bad: bool = False,
    stored: bool = False,
    labelled: bool = True,
    pictures: Iterable[Picture | Unreadable] | None = None,
) -> Found:
    """Reads image files in their order.

    Grey images stay at one channel; with a single colour image among them, all become RGB. Transparency is put on
    white, EXIF orientation applied, the first page or frame of several taken. Files of 8 bits give uint8. With a single
    file of 16 bits among them all become float32: it keeps its numbers, and files of 8 bits are spread over the
    smallest range 0..2^k - 1 that holds the largest number of all files, or over that of `look.depth` bits. Classes and
    parts are those of `classes`.

    stored: whether the pixels go to a temporary file.
    labelled: whether folders are classes or parts.
    pictures: what the files hold, if that is not what `pixels.read` gives.
    Raises InputError for no images, for mixed sizes without `image_size`, and for a file that cannot be read unless
    `skip_bad`.
    """
    pixels.check(look)
    if not found.files:
        raise InputError(_none(found))
    known = _Set(found)
    with pixels.quiet():
        if stored:
            images, depth = _stored(found, look, skip_bad, known, pictures)
        else:
            pictures = pictures or (pixels.read(file, look) for file in found.files)
            arrays, depth = unified(list(_checked(found, look, skip_bad, known, pictures)), look.depth)
            images = np.stack(arrays)
    return known.found(images, depth, labelled)


def read_pages(path: Path, look: Look, skip_bad: bool, streamed: Callable[[tuple[int, ...]], bool]) -> Found | None:
    """The pages or frames of one file as images, named by their numbers from 0; None for a file of one.

    Raises InputError where it cannot be opened, and as `read`.
    """
    file = of_path(path, path.name)
    n, (width, height) = pixels.count_of(file)
    if n < 2:
        return None
    pages = Listing(str(path), [file._replace(name=str(i), place=f"{file.place}, page {i}") for i in range(n)], [])
    side = look.image_size
    stored = streamed((n, side or height, side or width, 3))
    found = read(pages, look, skip_bad=skip_bad, stored=stored, labelled=False, pictures=pixels.pages(file, look))
    return found._replace(named="page")


def shape_of(found: Listing, image_size: int | None) -> tuple[int, ...]:
    """The shape (n, h, w, 3) of images, colour assumed, as the first that can be read tells it."""
    if image_size is not None:
        return (len(found.files), image_size, image_size, 3)
    sizes = (pixels.size_of(file) for file in found.files)
    width, height = next((size for size in sizes if size is not None), (0, 0))
    return (len(found.files), height, width, 3)


def classes(names: list[str], wrapped: bool = False) -> tuple[np.ndarray | None, np.ndarray | None, str]:
    """Class names by top folder, the split (0 train, 1 test), and what is to be said of them; None where there is none.

    There are classes where every image lies in a folder and there are two or more. Where all top folders are called as
    in PARTS, they are the split, and the folders below are the classes. Validation is the test part, or where there is
    a test part too, belongs to train. Where two or more of several top folders are called so, nothing is known.

    wrapped: folders that hold all images are passed over, as archives have them.
    """
    parents = [name.split("/")[:-1] for name in names]
    while wrapped and all(parents) and len({p[0] for p in parents}) == 1 and parents[0][0].lower() not in PARTS:
        parents = [p[1:] for p in parents]
    tops = {p[0] for p in parents} if all(parents) else set()
    parts = {PARTS[top.lower()] for top in tops if top.lower() in PARTS}
    others = sorted(top for top in tops if top.lower() not in PARTS)
    split = None
    if parts and not others:
        test = "test" if "test" in parts else "validation"
        split = np.array([PARTS[p[0].lower()] == test for p in parents], np.int8)
        parents = [p[1:] for p in parents]
    elif len(parts) > 1:
        of = f"{' and '.join(sorted(parts))} are parts of data, {listing.printable(others[0])} is none"
        return None, None, f"the folders tell neither parts nor classes: {of}"
    if not all(parents) or len({p[0] for p in parents}) < 2:
        return None, split, ""
    return np.array([p[0] for p in parents]), split, ""


def _none(found: Listing) -> str:
    if found.left_out:
        name, reason = next((pair for pair in found.left_out if pair[1] == ARRAY), found.left_out[0])
        others = f"{len(found.left_out)} other file{'s' * (len(found.left_out) > 1)}"
        shards = "" if reason == ARRAY else ", and no shards (.npy, .npz)"
        some = f"{others}, such as {listing.printable(name)}: {reason}"
        return f"{found.root}: holds no images that can be read{shards} ({some}): check the path"
    looked = ", ".join(suffix[1:] for suffix in kinds.SUFFIXES)
    return f"{found.root}: no images in this folder (looked for {looked}) and no shards (.npy, .npz): check the path"


def _checked(
    found: Listing,
    look: Look,
    skip_bad: bool,
    known: _Set,
    pictures: Iterable[Picture | Unreadable],
    *,
    bounded: bool = True,
) -> Iterator[np.ndarray]:
    """The images that can be used, which `known` gets to know, and the others too.

    bounded: whether all must fit into memory.
    """
    first: tuple[str, tuple[int, int]] | None = None
    for place, (file, picture) in enumerate(zip(found.files, pictures, strict=True)):
        if isinstance(picture, Unreadable):
            if not skip_bad:
                others = sum(pixels.size_of(each) is None for each in found.files[place + 1 :][:COUNTED])
                nor = f", nor can {others} other{'s' * (others > 1)} of {len(found.files)} files" if others else ""
                raise InputError(
                    f"{file.place}: cannot be read as an image ({picture}){nor}: {picture.remedy}"
                ) from picture
            known.skipped.append((file.name, str(picture)))
            continue
        if first is None:
            first = (file.name, picture.size)
            if bounded:
                needed = len(found.files) * picture.array.nbytes * (3 if picture.array.ndim == 2 else 1)
                check_size(found.root, needed, "pass --image-size N to shrink them, or --stream on")
        if look.image_size is None and picture.size != first[1]:
            raise InputError(
                f"{found.root}: images differ in size, {listing.printable(first[0])} is {_times(first[1])} and "
                f"{listing.printable(file.name)} is {_times(picture.size)}: pass --image-size N, in Python "
                "load_data(..., image_size=N), to resize all to N x N"
            )
        known.add(file, picture)
        yield picture.array
    if not known.names:
        name, reason = known.skipped[-len(found.files)]
        raise InputError(
            f"{found.root}: none of the {len(found.files)} images can be read (first: {listing.printable(name)}, "
            f"{reason}): mend the files"
        )


def _stored(
    found: Listing, look: Look, skip_bad: bool, known: _Set, pictures: Iterable[Picture | Unreadable] | None
) -> tuple[Images, int | None]:
    """The images in a temporary file, and their bits."""
    read = pictures or prefetched(lambda i: pixels.read(found.files[i], look), range(len(found.files)))
    checked = _checked(found, look, skip_bad, known, read, bounded=False)
    file = shards.temporary(array.tobytes() for array in checked)
    channels, depth = _form(known.forms, known.largest, look.depth)
    shape = (len(known.names), *known.shape, channels)
    dtype = np.float32 if depth else np.uint8
    if all(form == (channels, depth is not None) for form in known.forms):
        return shards.rows_of(file, shape, dtype), depth
    with file:
        unified = (_unified(array, channels, depth).tobytes() for array in _arrays(file, known))
        return shards.stored(unified, shape, dtype), depth


def _arrays(file: IO[bytes], known: _Set) -> Iterator[np.ndarray]:
    """Images one after the other in a file, each in its own form."""
    file.seek(0)
    for channels, deep in known.forms:
        dtype = np.dtype(np.float32 if deep else np.uint8)
        shape = known.shape if channels == 1 else (*known.shape, 3)
        yield np.frombuffer(file.read(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)


def unified(arrays: list[np.ndarray], depth: int | None = None) -> tuple[list[np.ndarray], int | None]:
    """Images as `Picture.array`, of several sizes too, as (h, w, c) with one c and one dtype, and their bits."""
    largest = max(float(array.max()) for array in arrays)
    channels, depth = _form([_form_of(array) for array in arrays], largest, depth)
    return [_unified(array, channels, depth) for array in arrays], depth


def _form_of(array: np.ndarray) -> tuple[int, bool]:
    """Channels, and whether it is of 16 bits."""
    return 3 if array.ndim == 3 else 1, array.dtype != np.uint8


def _form(forms: list[tuple[int, bool]], largest: float, depth: int | None) -> tuple[int, int | None]:
    """Channels of all images, and their bits: None for 8, else `depth`, or those that hold the largest value."""
    channels = max(channels for channels, _ in forms)
    if depth is not None and depth > 8:
        return channels, depth
    return channels, max(SPREAD, int(np.ceil(largest)).bit_length()) if any(deep for _, deep in forms) else None


def _unified(array: np.ndarray, channels: int, depth: int | None) -> np.ndarray:
    """(h, w) or (h, w, 3) as (h, w, channels), uint8 or, with a depth, float32."""
    if depth is not None and array.dtype == np.uint8:
        array = array * np.float32((2**depth - 1) / 255)
    array = array if array.ndim == 3 else array[..., None]
    return np.repeat(array, channels, 2) if array.shape[2] < channels else array


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
