"""Data elsewhere: by a server of this machine, and by fsspec's file system in memory."""

import functools
import http.server
import io
import os
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxclust.data import sources
from jaxclust.data.readers import remote
from jaxclust.errors import InputError

fsspec = pytest.importorskip("fsspec")
FEATURES = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.fixture(autouse=True)
def own_temporary(tmp_path, monkeypatch):
    """A temporary directory that is empty at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def png(level):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = {f"{kind}/{i} of {kind}.png": png(10 * i + (kind == "dogs")) for kind in ("cats", "dogs") for i in range(5)}


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/x.npz", npz(features=FEATURES, labels=np.arange(20) % 2))
    system.pipe({f"/bucket/images/{name}": data for name, data in IMAGES.items()})
    system.pipe("/bucket/images/.hidden", b"no image")
    yield system
    system.store.clear()


@pytest.fixture
def server(tmp_path):
    pytest.importorskip("aiohttp")
    root = tmp_path / "served"
    for name, data in {"x.npz": npz(features=FEATURES), **{f"images/{k}": v for k, v in IMAGES.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root)) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_file_in_memory(memory):
    found = sources.load("memory://bucket/x.npz")
    np.testing.assert_array_equal(found.images, FEATURES)
    assert found.labels.sum() == 10
    assert found.name == "memory://bucket/x.npz"


def test_a_folder_in_memory(memory):
    found = sources.load("memory://bucket/images")
    assert found.images.shape == (10, 8, 8, 1)
    assert list(found.names) == sorted(IMAGES)
    assert found.class_names == ("cats", "dogs")


def test_a_file_of_a_server(server):
    found = sources.load(f"{server}/x.npz?key=secret")
    np.testing.assert_array_equal(found.images, FEATURES)
    assert found.name == f"{server}/x.npz"


def test_a_folder_of_a_server(server):
    found = sources.load(f"{server}/images/")
    assert list(found.names) == sorted(IMAGES)
    assert sorted(np.unique(found.images)) == sorted({10 * i + k for i in range(5) for k in (0, 1)})


def test_what_is_streamed_stays_until_nobody_reads_it(memory, own_temporary):
    found = sources.load("memory://bucket/x.npz", stream="on")
    half = found.images.take(np.arange(0, 20, 2))
    gone = weakref.ref(found.images)
    del found
    np.testing.assert_array_equal(half[:], FEATURES[::2])
    assert len(list(own_temporary.iterdir())) == 1
    del half
    assert gone() is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://bucket/none.npz", "there is nothing"),
        ("SERVER/none.npz", "there is nothing"),
        ("http://127.0.0.1:9/x.npz", "cannot be fetched .*check the URL, the network"),
        ("nonsense://bucket/x.npz", "not known.*give gs://, s3://, https://"),
        ("memory://bucket/bad.npz", "damaged or not an .npz"),
        ("memory://bucket/images/cats/0 of cats.png", "a single image"),
    ],
)
def test_what_cannot_be_had_is_one_line(memory, server, url, said):
    memory.pipe("/bucket/bad.npz", b"PK no")
    url = url.replace("SERVER", server)
    with pytest.raises(InputError, match=f"^{url}: .*{said}") as raised:
        sources.load(url)
    assert "\n" not in str(raised.value)
    assert "jaxclust-" not in str(raised.value)


@pytest.mark.parametrize("url", ["gs://bucket/x.npz", "s3://bucket/x.npz", "https://example.org/x.npz"])
def test_a_missing_package_is_named(monkeypatch, url):
    def missing(*args, **kwargs):
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(InputError, match=rf"{url}: .*pip install 'jaxclust\[remote\]'"):
        sources.load(url)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["memory://bucket/x.npz", "memory://bucket/images", "SERVER/x.npz", "SERVER/images/"])
def test_copies_are_bounded_by_the_room_there_is(memory, server, monkeypatch, url):
    from collections import namedtuple

    usage = namedtuple("usage", "free")
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda path: usage(100))
    with pytest.raises(InputError, match=r"is too large .*set TMPDIR"):
        sources.load(url.replace("SERVER", server))


def test_no_file_is_copied_to_another_place(memory, tmp_path):
    found = {"/bucket/images/../../../escaped.png": {"size": 1}}
    with pytest.raises(InputError, match="which no folder can hold"):
        list(remote._inside("memory://bucket/images", found, "/bucket/images", tmp_path))


def test_defects_stay_defects(memory, monkeypatch):
    def broken(*args, **kwargs):
        raise KeyError("a defect")

    monkeypatch.setattr(remote, "_copy", broken)
    with pytest.raises(KeyError, match="a defect"):
        sources.load("memory://bucket/x.npz")


def test_names_of_any_bytes_are_kept(tmp_path):
    for i, name in enumerate((b"\xff\xfe.png", "😀.png".encode(), b"new\nline.png", b" blank .png")):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path / "images"), name))).parent.mkdir(exist_ok=True)
        with open(os.path.join(os.fsencode(tmp_path / "images"), name), "wb") as file:
            file.write(png(i))
    found = sources.load(tmp_path / "images")
    assert len(found.images) == 4
    assert os.fsdecode(b"\xff\xfe.png") in list(found.names)
