import errno
import os
import threading

import pytest

from jaxclust.system import atomic


def raising(error):
    def function(*args, **kwargs):
        raise error

    return function


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EPERM, None])
def test_a_drive_that_cannot_sync_or_replace_is_written_to(monkeypatch, tmp_path, name, number):
    monkeypatch.setattr(os, name, raising(OSError(number, "not here")))
    for text in ("a long first text", "second"):
        atomic.write_text(tmp_path / "file", text)
        assert (tmp_path / "file").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_drive_in_trouble_is_told_and_keeps_the_old_file(monkeypatch, tmp_path, name, number):
    atomic.write_text(tmp_path / "file", "old")
    monkeypatch.setattr(os, name, raising(OSError(number, "trouble")))
    with pytest.raises(OSError, match="trouble"):
        atomic.write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["n" * 255, "😀", os.fsdecode(b"\xff\xfe"), "new\nline"])
def test_any_name_that_a_file_system_allows(tmp_path, name):
    atomic.write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


def test_two_threads_write_one_file(tmp_path):
    texts = ["a" * 100_000, "b" * 100_000]
    threads = [
        threading.Thread(target=lambda text=text: [atomic.write_text(tmp_path / "f", text) for _ in range(20)])
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "f").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
