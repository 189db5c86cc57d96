"""What report.html holds, read back without a browser."""

import base64
import io
import json
import re
import shutil
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxclust
from jaxclust import cli, runs
from jaxclust.errors import InputError
from jaxclust.estimators.base import DeepClusterer
from jaxclust.models import Assignments
from jaxclust.report import maps, page, page_sheets
from jaxclust.report.colours import NOISE, ON_DARK, PALETTE, on_dark
from jaxclust.runs import cards
from tests.report import page_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        directory = page_run.make(tmp_path_factory.mktemp("page") / "run", page_run.data(), monkeypatch)
        points = np.random.default_rng(0).normal(size=(page_run.N, 2)).astype(np.float32)
        np.savez(directory / maps.NAME, index=np.arange(page_run.N), points=points)  # UMAP takes seconds to import
        yield directory


def block(text, name):
    return re.search(rf'<script type="[^"]+" id="{name}">(.*?)</script>', text, re.S)[1]


def about(text):
    return json.loads(block(text, "about"))


def columns(text):
    """The columns of the examples, by the head of the table."""
    whole = zlib.decompress(base64.b64decode(block(text, "table")))
    end = whole.index(b"\n")
    found = {}
    for name, (kind, place, size) in json.loads(whole[:end]).items():
        found[name] = np.frombuffer(whole, kind, size, end + 1 + place)
    found["names"] = json.loads(found["names"].tobytes() or b"null")
    found["tile"] = np.frombuffer(zlib.decompress(base64.b64decode(block(text, "places"))), "<u4")
    return found


def test_a_page_holds_each_example_of_the_run(run):
    given = page_run.data()
    made = page.write(run, given)
    text = made.path.read_text()
    assert (made.n, made.mapped, made.pictured, made.size) == (150, 150, 150, len(text.encode()))
    found, assigned = columns(text), runs.load_assignments(run)
    assert found["row"].tolist() == list(range(150))
    assert found["names"] == given.names.tolist()
    assert found["cluster"].tolist() == assigned.labels.tolist()
    assert found["noise"].tolist() == assigned.noise.astype(int).tolist()
    assert np.allclose(found["certainty"] / 65535, assigned.probabilities.max(1), atol=1e-4)
    assert np.allclose(found["typicality"] / 65535, assigned.typicality, atol=1e-4)
    assert found["second"].tolist() == np.argsort(-assigned.probabilities, 1)[:, 1].tolist()
    assert found["class"].tolist() == given.labels.tolist()
    assert found["level 2"].tolist() == np.minimum(assigned.labels, 1).tolist()
    told = about(text)
    assert told["classes"] == list(page_run.CLASSES)
    assert told["data"] == page_run.NAME
    assert told["scores"]["acc"] == 1.0
    assert told["settings"]["epochs"] == 20
    assert {curve["phase"] for curve in told["curves"]} == {"centres"}
    assert set(told["phases"]) == {"seeds", "centres"}
    assert "jax" in told["versions"]


def test_each_example_s_tile_is_its_image(run):
    given = page_run.data()
    text = page.write(run, given).path.read_text()
    form, tile = about(text)["sheets"], columns(text)["tile"]
    assert form["first"] == 3 * page.DRAWN
    each = form["columns"] * form["rows"]
    sheets = []
    for i in range(-(-form["n"] // each)):
        with Image.open(io.BytesIO(base64.b64decode(block(text, f"sheet-{i}")))) as picture:
            sheets.append(np.asarray(picture.convert("L"), float))
    for row in (0, 1, 77, 149):
        sheet, place = divmod(int(tile[row]) + form["first"], each)
        top, left = place // form["columns"] * 8, place % form["columns"] * 8
        shown = sheets[sheet][top : top + 8, left : left + 8].ravel()
        apart = np.abs(given.images.reshape(150, -1) - shown).mean(1)
        assert apart[row] < 20 < np.partition(apart[given.labels != given.labels[row]], 0)[0]


def test_what_users_write_never_becomes_markup(run):
    text = page.write(run, page_run.data()).path.read_text()
    assert "window.hacked" not in re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S)
    inside = block(text, "about")
    assert "<" not in inside
    assert re.search(r"<title>toy: photos/&lt;i&gt;holiday&lt;/i&gt; &quot;2024&quot;</title>", text)
    assert text.count("<script>") == 1


def test_a_page_asks_nobody_for_anything(run):
    text = page.write(run, page_run.data()).path.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src" not in policy
    assert "unsafe" not in policy
    addresses = set(
        re.findall(r"""(?:https?:)?//[\w.]+\.\w+[^"' )]*""", text.split('id="about"')[0] + text.split("<script>")[1])
    )
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nothing fetches
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
        "XMLHttp",
        "import(",
    ):
        assert way not in text


def test_more_than_fits_is_sampled_and_the_page_says_so(run, monkeypatch):
    monkeypatch.setattr(page, "POINTS", 110)
    monkeypatch.setattr(page, "planned", lambda read, n, shape, budget: ((8, 8), 3 * page.DRAWN + 90))
    made = page.write(run, page_run.data(), run / "less.html")
    assert made.mapped == 110
    assert made.pictured == 90
    text = made.path.read_text()
    found, told = columns(text), about(text)
    assert (told["n"], told["mapped"], told["pictured"]) == (150, 110, made.pictured)
    assert (found["tile"] != 0xFFFFFFFF).sum() == made.pictured
    shown = {row for card in told["clusters"] for row in (*card["exemplars"], *card["borderline"])}
    assert shown <= set(found["row"].tolist())
    pictured = set(found["row"][found["tile"] != 0xFFFFFFFF].tolist())
    assert shown <= pictured  # those of the cards come first


def test_a_page_is_no_larger_than_it_may_be(run, monkeypatch):
    largest = page.write(run, page_run.data()).size + page.MARKUP - 2500
    monkeypatch.setattr(page, "LARGEST", largest)
    made = page.write(run, page_run.data(), run / "small.html")
    assert made.size <= largest
    assert 0 < made.pictured < 150


def test_long_names_leave_out_examples_before_the_page_grows(run, monkeypatch):
    monkeypatch.setattr(page, "TABLE", 1900)
    made = page.write(run, page_run.data(), run / "short.html")
    assert 60 <= made.mapped < 150


def test_without_the_data_there_are_no_images(run):
    text = page.write(run, None, run / "bare.html").path.read_text()
    told, found = about(text), columns(text)
    assert "sheets" not in told
    assert told["classes"] is None
    assert "class" not in found
    assert "without the data" in told["without"]


def test_features_show_where_they_stand_out(tmp_path, monkeypatch):
    directory = page_run.make(tmp_path / "run", page_run.features(), monkeypatch)
    np.savez(directory / maps.NAME, index=np.arange(60), points=np.zeros((60, 2), np.float32))
    found = columns(page.write(directory, page_run.features()).path.read_text())
    assert found["column"].reshape(60, -1)[4, 0] == 7
    assert found["value"].reshape(60, -1)[4, 0] == 300.0
    assert found["names"][4] == "row 4"


def test_cards_by_hand():
    embedding = np.array([[0.0], [0.2], [1.0], [9.0], [9.5], [30.0]], np.float32)
    probabilities = np.array(
        [[0.9, 0.1, 0, 0], [0.8, 0.2, 0, 0], [0.5, 0.5, 0, 0], [0.3, 0.7, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32
    )
    noise = np.array([0, 0, 1, 0, 0, 0], bool)
    assigned = Assignments(np.array([0, 0, 0, 1, 1, 2]), probabilities, noise, embedding, None)
    made = cards.cards(assigned, np.array([5, 5, 4, 4, -1, -1]))
    first, second, third, empty = made
    assert (first.size, first.noise, first.exemplars, first.borderline) == (3, 1, [1, 0, 2], [2])
    assert first.certainty == pytest.approx(2.2 / 3)
    assert first.classes == [(5, 2), (4, 1)]
    assert (first.nearest, second.nearest, third.nearest) == ([1, 2], [0, 2], [1, 0])
    assert third.classes == []
    assert (empty.size, empty.certainty, empty.exemplars, empty.nearest) == (0, None, [], [])
    assert cards.listed(made).tolist() == [0, 1, 2, 3, 4, 5]


def test_large_images_are_reduced_until_all_fit():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 150, 100, 3)).astype(np.uint8)
    size, n = page_sheets.planned(lambda rows: images[rows], 50, images.shape[1:], 10**9)
    assert (size, n) == ((85, 128), 50)
    size, n = page_sheets.planned(lambda rows: images[rows], 50, images.shape[1:], 60_000)
    assert size[1] < 96
    made = page_sheets.packed(lambda rows: images[rows], n, size, 60_000)
    assert sum(map(len, made.files)) <= 60_000
    size, n = page_sheets.planned(lambda rows: images[rows], 50, images.shape[1:], 4_000)
    assert size == (21, 32)
    assert n < 50


def test_rows_off_the_map_lie_among_their_neighbours():
    embedding = np.array([[0.0], [1.0], [2.0], [50.0], [51.0], [52.0], [0.5], [51.0]], np.float32)
    points = np.array([[0, 0], [1, 0], [2, 0], [100, 100], [101, 100], [102, 100]], np.float32)
    placed = maps.placed(embedding, np.arange(6), points)
    assert np.array_equal(placed[:6], points)
    assert placed[6] == pytest.approx([0.5, 0], abs=0.15)
    assert placed[7] == pytest.approx([101, 100], abs=0.05)


@pytest.mark.parametrize("shape", [(4, 3), (2, 1), (40, 1), (5, 2)])
def test_few_rows_and_few_columns_have_a_map_too(tmp_path, shape):
    embedding = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    points = maps.of_run(tmp_path, embedding)
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()
    assert np.ptp(points[:, 0]) > 0


def test_report_makes_the_page_again(run, monkeypatch, capsys, tmp_path):
    given = page_run.data()
    monkeypatch.chdir(tmp_path)
    np.savez("photos.npz", images=given.images, labels=given.labels)
    assert cli.main(["report", str(run), "photos.npz", "--out", "page.html"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "page in page.html" in err
    assert about(Path("page.html").read_text())["pictured"] == 150
    assert cli.main(["report", str(run), "--no-data", "--out", "bare.html"]) == 0
    assert about(Path("bare.html").read_text())["pictured"] == 0


def test_report_refuses_other_data_and_says_the_remedy(run, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.savez("other.npz", images=page_run.data(60).images)
    for arguments, said in (
        ([str(run), "other.npz"], "other.npz: is not what"),
        ([str(run)], "give DATA, or --no-data"),
        ([str(run), "other.npz", "--no-data"], "exclude each other"),
        (["nothing"], "holds no run"),
        ([str(run), "--no-data", "--out", "no/where.html"], "does not exist"),
        ([str(run), "--no-data", "--out", "."], "is a directory"),
        ([str(run), "--no-data", "--out", "gs://bucket/page.html"], "gs://bucket/page.html: files are written"),
        ([str(run), "--nodata"], "option --nodata is unknown (did you mean --no-data?)"),
        ([], "RUN is missing"),
    ):
        assert cli.main(["report", *arguments]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.npz"]


@pytest.mark.parametrize("value", [None, {}, {"kind": "images"}, [3]])
def test_a_damaged_preprocessing_is_one_line(run, tmp_path, value):
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    (tmp_path / "run/config.json").write_text(json.dumps({**config, "preprocess": value}))
    with pytest.raises(InputError, match=r"config.json: its 'preprocess' is damaged .*: fit again$"):
        page.write(tmp_path / "run", page_run.data())


def test_fit_ends_with_a_page_unless_no_figures_are_wanted(toy, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = page_run.data(14)  # so few that their map needs no UMAP
    np.savez("few.npz", images=given.images)
    assert cli.main(["fit", "toy", "few.npz", "--out", "run", "--epochs", "2", "--quiet"]) == 0
    assert re.search(r"^page +run/report.html$", capsys.readouterr().out, re.M)
    told = about(Path("run/report.html").read_text())
    assert (told["n"], told["pictured"]) == (14, 14)
    assert cli.main(["fit", "toy", "few.npz", "--out", "bare", "--epochs", "2", "--no-figures"]) == 0
    assert not Path("bare/report.html").exists()
    assert cli.main(["fit", "toy", "few.npz", "--out", "run", "--epochs", "2", "--overwrite", "--no-figures"]) == 0
    assert not Path("run/report.html").exists()  # the page of the run that was replaced


def test_a_page_that_fails_costs_nothing_else(toy, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.savez("few.npz", images=page_run.data(14).images)

    def broken(*arguments):
        raise ZeroDivisionError("made up")

    monkeypatch.setattr(page, "write", broken)
    assert cli.main(["fit", "toy", "few.npz", "--out", "run", "--epochs", "2"]) == 0
    assert "report.html is missing: ZeroDivisionError: made up" in capsys.readouterr().err
    assert json.loads(Path("run/config.json").read_text())["state"] == "complete"


def test_show_is_the_page_of_an_estimator(toy, tmp_path):
    class Toy(DeepClusterer, method="toy"):
        """The toy method."""

    given = page_run.data(14)
    model = Toy(epochs=2).fit(given.images)
    shown = jaxclust.show(model, given.images, y=given.labels, names=given.names)
    told = about(shown.text)
    assert (told["n"], told["pictured"], told["classes"]) == (14, 14, ["0", "1", "2"])
    assert columns(shown.text)["names"] == given.names.tolist()
    assert "<script>" not in shown._repr_html_()
    shown.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == shown.text
    with pytest.raises(jaxclust.InputError, match=r"has the shape \(13, 8, 8, 1\) where .* \(14, 8, 8, 1\)"):
        jaxclust.show(model, given.images[1:])


def test_wheels_hold_the_files_of_the_page():
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["jaxclust"]
    assert "report/static/*" in shipped
    held = {path.name for path in (ROOT / "jaxclust/report/static").iterdir()}
    assert held == {*page.SCRIPTS, "page.html", "page.css"}


# Machado et al. 2009, severity 1, in linear RGB; then CIELAB under D65.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def linear(hexas):
    share = np.array([[int(hexa[i : i + 2], 16) / 255 for i in (1, 3, 5)] for hexa in hexas])
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = (np.clip(rgb, 0, 1) @ np.array(XYZ).T / [0.95047, 1, 1.08883]).T
    f = [np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z)]
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])], 1)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("colours", [(*PALETTE[:10], NOISE), (*ON_DARK, "#5A5E66", "#17191D")], ids=["light", "dark"])
def test_the_first_ten_colours_stay_apart(sight, colours):
    seen = lab(linear(colours) @ np.array(SIGHT[sight]).T)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(len(seen), 1)]
    assert apart.min() > 21.5


def test_colours_on_dark_ground_are_bright_enough():
    brightness = linear([on_dark(k) for k in range(len(PALETTE))]) @ XYZ[1]
    ground = linear(["#17191D"]) @ XYZ[1]
    assert ((brightness + 0.05) / (ground + 0.05)).min() > 2.9
