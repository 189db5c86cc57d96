"""Which files are images: by suffix, else by their first bytes. And Pillow's readers for them."""

import importlib.util
import re
import struct
from collections.abc import Callable
from pathlib import PurePath
from typing import IO, Any

from jaxclust.data.readers.left_out import ARRAY, OTHER_KIND

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc", ".avif", ".heic", ".heif"),
)
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")  # none calls another program
HEIF = (".heic", ".heif")
# Pictures that are not read, some of which begin like those that are.
UNREAD = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf"),
    *(".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f", ".ai", ".dcm", ".eps", ".exr", ".hdr", ".ico", ".jxl", ".nii"),
    *(".pdf", ".psd", ".svg", ".svs", ".tga"),
)
HEAD = 32  # bytes that tell the kind
MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP|P[1-6]\s[\s\d#]"
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    re.DOTALL,
)
AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
NO_HEIF = "HEIC is read with pip install 'jaxclust[heic]'"
NO_AVIF = "AVIF is read with Pillow 11.3 or later"


class Unreadable(Exception):
    """An image that cannot be used, with the reason; `remedy` where there is a better one than to mend it."""

    def __init__(self, reason: str, remedy: str = "mend it, or pass --skip-bad"):
        super().__init__(reason)
        self.remedy = remedy


def left_out(name: str, head: Callable[[], bytes]) -> str | None:
    """Why a file of that name and those first HEAD bytes is not read as an image; None where it is."""
    suffix = PurePath(name).suffix.lower()
    if suffix in HEIF:
        return None if has_heif() else NO_HEIF
    if suffix == ".avif":
        return None if _has("AVIF") else NO_AVIF
    if suffix in SUFFIXES:
        return None
    if suffix in (".npy", ".npz"):
        return ARRAY
    if suffix in UNREAD:
        return OTHER_KIND
    start = head()
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        return None if has_heif() else NO_HEIF
    if start[4:8] == b"ftyp" and start[8:12] in AVIF_BRANDS:
        return None if _has("AVIF") else NO_AVIF
    return None if MAGIC.match(start) else OTHER_KIND


def has_heif() -> bool:
    """Whether HEIC can be read."""
    return importlib.util.find_spec("pillow_heif") is not None


def opened(stream: IO[bytes]) -> Any:
    """The image that a stream holds, whatever its name is, as Pillow opens it: the header is read, not the pixels.

    Pillow's own limit of pixels, which is the whole process's, is not asked. Raises Unreadable.
    """
    head = stream.read(HEAD)
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return _opened_heif(stream)
    for name in FORMATS:
        if _has(name):
            factory, accepts = _registered()[name]
            if accepts is None or accepts(head[:16]) is True:
                stream.seek(0)
                try:
                    return factory(stream, "")
                except (SyntaxError, IndexError, TypeError, struct.error):
                    continue
    raise Unreadable("the content is no image of a known kind" if head else "the file is empty")


def _opened_heif(stream: IO[bytes]) -> Any:
    if not has_heif():
        raise Unreadable(NO_HEIF, "install it, or pass --skip-bad")
    from pillow_heif import HeifImageFile

    stream.seek(0)
    return HeifImageFile(stream, "")


def _registered() -> dict[str, Any]:
    from PIL import Image

    Image.init()
    return Image.OPEN


def _has(name: str) -> bool:
    from PIL import features

    if name not in _registered():
        return False
    module = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}.get(name)
    return module is None or bool(features.check(module))
