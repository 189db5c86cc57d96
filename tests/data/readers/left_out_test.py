"""What is left out is counted and listed, with the reason."""

import logging

import numpy as np
from PIL import Image

from jaxclust.data import sources
from jaxclust.data.readers import left_out


def test_files_of_other_kinds_are_counted_and_listed(tmp_path, caplog):
    (tmp_path / "a").mkdir()
    for name in ("a/1.png", "2.png"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name)
    for name in ("notes.txt", "a/x.MOV", "a/y.mov", "README", ".hidden.txt", "a/.DS_Store", "f.npy"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_bytes(b"x")
    (tmp_path / "3.png").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        found = sources.load(tmp_path, skip_bad=True)
    assert [file for file, _ in found.skipped] == ["3.png", "README", "a/x.MOV", "a/y.mov", "f.npy", "notes.txt"]
    assert {reason for _, reason in found.skipped[1:]} == {left_out.OTHER_KIND, left_out.ARRAY}
    assert "no image" in found.skipped[0][1]
    said = f"{tmp_path}: left out 6 files (2 .mov, 1 .png, 1 without suffix, 1 .npy, 1 .txt), the first '3.png': "
    assert said in caplog.text
    assert len(caplog.records) == 1


def test_beside_shards(tmp_path):
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", np.eye(4))
    (tmp_path / "more").mkdir()
    np.save(tmp_path / "more/2.npy", np.eye(4))
    for stream in ("off", "on"):
        found = sources.load(tmp_path, stream=stream)
        assert len(found.images) == 8
        assert found.skipped == (("more/2.npy", left_out.OTHER_KIND),)


def test_many_kinds_are_one_line():
    skipped = [(f"x.{kind}", left_out.OTHER_KIND) for kind in "aabcdefg"]
    assert left_out.line(skipped) == (
        "left out 8 files (2 .a, 1 .b, 1 .c, 1 .d, 1 .e, 2 others), the first 'x.a': of a kind that is not read here"
    )
    assert left_out.line([("x.png", "broken")]) == "left out 1 file (1 .png), 'x.png': broken"
