import gzip
import io
import lzma
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxclust.data import sources
from jaxclust.data.readers import archives, left_out
from jaxclust.errors import InputError

RNG = np.random.default_rng(0)
MODES = {".zip": None, ".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
COMPRESS = {".tar": bytes, ".tar.gz": gzip.compress, ".tar.xz": lzma.compress}


def png(value=0, size=(6, 4)):
    stream = io.BytesIO()
    Image.fromarray(np.full(size[::-1], value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def archive(path, members):
    """members: (name, bytes) in this order, names twice where they come twice."""
    mode = MODES["".join(path.suffixes)]
    if mode is None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members:
                file.writestr(name, data)
        return path
    with tarfile.open(path, mode) as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("suffix", MODES)
def test_an_archive_is_read_as_the_folder(tmp_path, suffix):
    names = ["pics/b/2.png", "pics/a/10.png", "pics/a/9", "pics/b/deep/1.png"]
    members = [(name, png(i)) for i, name in enumerate(names)]
    members += [("pics/.hidden.png", png()), ("__MACOSX/pics/a/._9.png", b"x"), ("pics/notes.txt", b"text")]
    path = archive(tmp_path / f"pics{suffix}", members)
    for stream in ("off", "on"):
        data = sources.load(path, stream=stream)
        assert data.names.tolist() == ["pics/a/10.png", "pics/a/9", "pics/b/2.png", "pics/b/deep/1.png"]
        assert data.images[:][:, 0, 0, 0].tolist() == [1, 2, 0, 3]
        assert data.labels.tolist() == [0, 0, 1, 1]
        assert data.class_names == ("a", "b")
        assert data.skipped == (("pics/notes.txt", left_out.OTHER_KIND),)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_names_that_lead_out_are_left_out(tmp_path, suffix):
    members = [("../evil.png", png(1)), ("/abs.png", png(2)), ("a/../../b.png", png(3)), ("./c.png", png(4))]
    data = sources.load(archive(tmp_path / f"a{suffix}", members))
    assert data.names.tolist() == ["abs.png", "c.png"]
    assert [name for name, _ in data.skipped] == ["../evil.png", "a/../../b.png"]
    assert [file.name for file in tmp_path.iterdir()] == [f"a{suffix}"]


def test_links_in_a_tar_are_left_out_and_of_two_the_last_counts(tmp_path):
    path = archive(tmp_path / "a.tar", [("a.png", png(1)), ("a.png", png(2))])
    with tarfile.open(path, "a") as file:
        info = tarfile.TarInfo("link.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(info)
    data = sources.load(path)
    assert data.names.tolist() == ["a.png"]
    assert (data.images == 2).all()
    assert data.skipped == (("link.png", "a link or another special file"),)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_bad_images_in_an_archive_are_named_or_skipped(tmp_path, suffix):
    path = archive(tmp_path / f"a{suffix}", [("a.png", png()), ("b.png", b"no picture")])
    with pytest.raises(InputError, match=rf"a{suffix}/b\.png: cannot be read as an image .*--skip-bad"):
        sources.load(path)
    assert [name for name, _ in sources.load(path, skip_bad=True).skipped] == ["b.png"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_archives_within_archives_and_empty_ones_are_refused(tmp_path, suffix):
    inner = archive(tmp_path / "inner.zip", [("a.png", png())]).read_bytes()
    path = archive(tmp_path / f"a{suffix}", [("b.png", png()), ("x/inner.zip", inner)])
    with pytest.raises(InputError, match=r"holds another archive, x/inner\.zip: unpack both"):
        sources.load(path)
    with pytest.raises(InputError, match="holds no images that can be read"):
        sources.load(archive(tmp_path / f"b{suffix}", [("readme.txt", b"text")]))


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("name", ["a.png", "a.txt"])
def test_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch, suffix, name):
    path = archive(tmp_path / f"a{suffix}", [("b.png", png()), (name, bytes(3_000_000))])
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(archives, "FREE", 1_000_000)
    written = []
    monkeypatch.setattr(archives.shards, "temporary", lambda pieces: written.extend(map(len, pieces)))
    with pytest.raises(InputError, match=r"unpacks to more than .*: where it is to be trusted, unpack it") as info:
        sources.load(path)
    assert info.value.__cause__ is None
    assert sum(written) < 1000
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(InputError, match="holds more than 1 files"):
        sources.load(archive(tmp_path / "b.zip", [(f"{i}.png", png()) for i in range(2)]))


def test_a_header_that_claims_much_is_refused(tmp_path):
    """A header of pax that would be read into memory whole."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(4096)))
    with pytest.raises(InputError, match=r"a\.tar\.gz: the archive is truncated or damaged \(a header of"):
        sources.load(path)


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path):
    path = archive(tmp_path / "a.zip", [("a.png", png() + bytes(100_000))])
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02")
    raw[place + 24 : place + 28] = struct.pack("<I", 100)  # the size that the directory states
    path.write_bytes(raw)
    with pytest.raises(InputError, match="truncated or damaged"):
        sources.load(path)


def test_encrypted_and_damaged_archives_are_one_line(tmp_path):
    path = archive(tmp_path / "a.zip", [("a.png", png())])
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="encrypted"):
        sources.load(path)
    for suffix in MODES:
        whole = archive(tmp_path / f"b{suffix}", [(f"{i}.png", RNG.bytes(2000)) for i in range(3)]).read_bytes()
        damaged = [whole[: len(whole) // 2], b"", b"text", whole[:8] + RNG.bytes(len(whole) - 8)]
        for _ in range(20):
            copy = bytearray(whole)
            for place in RNG.integers(0, len(whole), 5):
                copy[place] = RNG.integers(256)
            damaged.append(bytes(copy))
        for data in damaged:
            (tmp_path / f"b{suffix}").write_bytes(data)
            with pytest.raises(InputError) as info:
                sources.load(tmp_path / f"b{suffix}")
            assert str(info.value).isprintable()


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_a_tar_that_ends_early_is_refused(tmp_path, suffix):
    """tarfile itself takes what is no header for the end, and the images after it would be missing in silence."""
    path = archive(tmp_path / "a.tar", [(f"{i}.png", png(i)) for i in range(3)])
    whole = path.read_bytes()
    member = 2 * tarfile.BLOCKSIZE
    damaged = bytearray(whole)
    damaged[member] ^= 1  # the second header's sum is wrong
    for data in (whole[:member], whole[: member + 300], bytes(damaged), whole[: 3 * member]):
        (tmp_path / f"b{suffix}").write_bytes(COMPRESS[suffix](data))
        with pytest.raises(InputError, match=r"truncated or damaged .*: write or fetch it again"):
            sources.load(tmp_path / f"b{suffix}")
    (tmp_path / f"b{suffix}").write_bytes(COMPRESS[suffix](whole[: 3 * member + tarfile.BLOCKSIZE]))
    assert len(sources.load(tmp_path / f"b{suffix}").images) == 3


def test_the_checksum_of_a_compressed_tar_is_looked_at(tmp_path):
    path = archive(tmp_path / "a.tar.gz", [("a.png", png())])
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(InputError, match="truncated or damaged"):
        sources.load(path)
