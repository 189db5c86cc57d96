import os
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxclust.data import sources
from jaxclust.data.readers import kinds, left_out, listing
from jaxclust.errors import InputError


def picture(path, value=0, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 6), value, np.uint8)).save(path, kind)


def names(found):
    return [file.name for file in found.files]


def test_links_to_files_and_folders_are_followed_and_circles_are_not(tmp_path):
    for c in "ab":
        for i in range(3):
            picture(tmp_path / f"real/{c}/{i}.png", i)
    farm = tmp_path / "farm"
    (farm / "a").mkdir(parents=True)
    for i in range(3):
        (farm / f"a/{i}.png").symlink_to(tmp_path / f"real/a/{i}.png")
    (farm / "b").symlink_to(tmp_path / "real/b")
    (farm / "loop").symlink_to(".")
    (farm / "a/up").symlink_to("..")
    (farm / "above").symlink_to(tmp_path)  # holds the folder itself
    data = sources.load(farm)
    assert data.names.tolist() == [f"{c}/{i}.png" for c in "ab" for i in range(3)]
    assert data.class_names == ("a", "b")
    assert data.skipped == ()
    linked = tmp_path / "linked"
    linked.symlink_to(farm)
    assert names(listing.walk(linked)) == data.names.tolist()


def test_a_file_is_taken_once_and_as_itself(tmp_path):
    picture(tmp_path / "z/1.png")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "b.png").symlink_to("z/1.png")
    os.link(tmp_path / "z/1.png", tmp_path / "z/2.png")  # a second name is a file of its own
    found = listing.walk(tmp_path)
    assert names(found) == ["z/1.png", "z/2.png"]
    assert found.left_out == [("b.png", "there already as z/1.png")]


def test_kinds_by_suffix_and_by_content(tmp_path):
    written = {"a.jfif": "JPEG", "b": "PNG", "c.001": "GIF", "d": "WEBP", "e": "TIFF", "f": "BMP", "g": "PPM"}
    written |= {"h.png": "JPEG", "i.jpg": "PNG", "j.jp2": "JPEG2000", "k": "JPEG2000", "l.j2k": "JPEG2000"}
    for value, (name, kind) in enumerate(written.items()):
        picture(tmp_path / name, 10 * value, kind)
    for name, text in {"labels.csv": b"a,b", "notes": b"BMW and P5 are words", "empty": b"", "x.nef": b"II*\0"}.items():
        (tmp_path / name).write_bytes(text)
    data = sources.load(tmp_path)
    assert data.names.tolist() == sorted(written)
    assert np.abs(data.images[:, 0, 0, 0] - 10.0 * np.arange(12)).max() <= 3
    assert dict(data.skipped) == {
        "labels.csv": left_out.OTHER_KIND,
        "notes": left_out.OTHER_KIND,
        "empty": left_out.OTHER_KIND,
        "x.nef": left_out.OTHER_KIND,
    }


def test_avif(tmp_path, monkeypatch):
    if not kinds._has("AVIF"):
        pytest.skip("this Pillow has no AVIF")
    picture(tmp_path / "a.avif", 90)
    shutil.copy(tmp_path / "a.avif", tmp_path / "b")
    assert np.abs(sources.load(tmp_path).images[:, 0, 0, 0] - 90.0).max() <= 3
    picture(tmp_path / "c.png")
    monkeypatch.setattr(kinds, "_has", lambda name: name != "AVIF")
    assert sources.load(tmp_path).skipped == (("a.avif", kinds.NO_AVIF), ("b", kinds.NO_AVIF))


def test_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
    heif.from_pillow(image).save(tmp_path / "a.heic")
    for name in ("b.jpg", "c"):  # as telephones send them
        shutil.copy(tmp_path / "a.heic", tmp_path / name)
    data = sources.load(tmp_path)
    assert data.images.shape == (3, 64, 64, 3)
    assert np.abs(data.images - 90.0).max() <= 4


def test_heic_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "has_heif", lambda: False)
    head = b"\0\0\0\x18ftypheic" + bytes(200)
    for name in ("a.heic", "b"):
        (tmp_path / name).write_bytes(head)
    with pytest.raises(InputError, match=r"holds no images .* pip install 'jaxclust\[heic\]'"):
        sources.load(tmp_path)
    picture(tmp_path / "c.png")
    assert sources.load(tmp_path).skipped == (("a.heic", kinds.NO_HEIF), ("b", kinds.NO_HEIF))
    (tmp_path / "d.jpg").write_bytes(head)
    with pytest.raises(InputError, match=r"d\.jpg: .*jaxclust\[heic\].*--skip-bad"):
        sources.load(tmp_path)


def test_names_of_any_bytes_stay_in_one_line(tmp_path):
    bad = os.path.join(os.fsencode(tmp_path), b"\xff bro\nken.png")
    with open(bad, "wb") as file:
        file.write(b"no picture")
    with pytest.raises(InputError, match=r"\\udcff bro\\nken\.png: cannot be read") as info:
        sources.load(tmp_path)
    assert str(info.value).isprintable()
    picture(tmp_path / "a.png")
    data = sources.load(tmp_path, skip_bad=True)
    assert data.skipped[0][0] == "\udcff bro\nken.png"


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    picture(tmp_path / "shut/b.png")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert listing.walk(tmp_path).left_out == [("shut", "cannot be listed, Permission denied")]


def test_runs_below_a_folder_are_no_data(tmp_path):
    picture(tmp_path / "a/1.png")
    picture(tmp_path / "runs/x/figures/map.png")
    for name in ("config.json", "assignments.csv", "probabilities.npy", "embedding.npy"):
        (tmp_path / "runs/x" / name).write_bytes(b"")
    found = listing.walk(tmp_path)
    assert names(found) == ["a/1.png"]
    assert found.left_out == [("runs/x", "a run, whose figures are no data")]
    with pytest.raises(InputError, match=r"runs.x: is a run, not data: give the data, or .*embedding\.npy"):
        sources.load(tmp_path / "runs/x")


def test_arrays_among_other_files_are_told(tmp_path):
    (tmp_path / "more").mkdir()
    np.save(tmp_path / "more/x.npy", np.eye(3))
    with pytest.raises(InputError, match=r"can be read \(1 other file, such as more/x\.npy: an array: give its file"):
        sources.load(tmp_path)
    with pytest.raises(InputError, match=r"'.*/MORE' is not there: did you mean '.*/more'\?"):
        sources.load(tmp_path / "MORE")
