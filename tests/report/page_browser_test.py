"""The page in a real browser, headless Chromium: what a user does with it, and what must not happen.

Needs playwright (pip) and Debian's chromium, or another one named by CHROMIUM.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.bench import page as speed
from jaxclust import methods, runs
from jaxclust.report import maps, page
from jaxclust.runs import edited_run, edits
from jaxclust.runs.edits import Edits
from tests.report import page_run

pytestmark = pytest.mark.slow
CENTRES = np.array([[0, 0], [10, 0], [5, 9]], np.float32)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium, or name one by CHROMIUM")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        given = page_run.data()
        directory = page_run.make(tmp_path_factory.mktemp("browser") / "run", given, monkeypatch)
        labels = runs.load_assignments(directory).labels
        points = CENTRES[labels] + np.random.default_rng(0).normal(0, 0.4, (page_run.N, 2))
        np.savez(directory / maps.NAME, index=np.arange(page_run.N), points=points.astype(np.float32))
        page.write(directory, given)
        yield directory


@pytest.fixture
def opened(browser, run):
    """The page at 1600 x 1000, with the requests that it made and the errors that it told."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    tab.requests, tab.errors = [], []
    tab.on("request", lambda request: tab.requests.append(request.url))
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
    tab.goto((run / page.NAME).as_uri())
    tab.wait_for_selector("html[data-ready]")
    yield tab
    assert tab.errors == []
    assert {url for url in tab.requests if not url.startswith("blob:")} == {(run / page.NAME).as_uri()}
    assert tab.evaluate("window.hacked") is None
    context.close()


def place(tab, run, row):
    """Where an example of the run lies in the window, while the whole map is shown."""
    with np.load(run / maps.NAME) as kept:
        points = kept["points"]
    low, high = points.min(0), points.max(0)
    share = (points[row] - (low + high) / 2) / (high - low).max() + 0.5
    box = tab.locator("#stage").bounding_box()
    scale = min(box["width"] - 52, box["height"] - 52)
    across, down = float(scale * (share[0] - 0.5)), float(scale * (share[1] - 0.5))
    return box["x"] + box["width"] / 2 + across, box["y"] + box["height"] / 2 - down


def picture(tab):
    """The map's pixels, as text."""
    return tab.locator("#canvas").evaluate("canvas => canvas.toDataURL()")


def lonely(run):
    """The example that is furthest from all others on the map."""
    with np.load(run / maps.NAME) as kept:
        points = kept["points"]
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    return int(apart.min(1).argmax())


def centre(tab, run, cluster):
    """Where a cluster's members lie, and half the width of a square around all of them."""
    labels = runs.load_assignments(run).labels
    spots = np.array([place(tab, run, row) for row in np.flatnonzero(labels == cluster)])
    return spots.mean(0).tolist(), float(np.abs(spots - spots.mean(0)).max() + 8)


def names_in_clusters(run, cluster):
    labels = runs.load_assignments(run).labels
    return [str(name) for name, label in zip(page_run.data().names, labels, strict=True) if label == cluster]


def test_hover_shows_the_image_and_what_is_known(opened, run):
    row = lonely(run)
    opened.mouse.move(*place(opened, run, row))
    tip = opened.locator("#tip")
    tip.wait_for(state="visible")
    assert str(page_run.data().names[row]) in tip.inner_text()
    assert f"cluster {runs.load_assignments(run).labels[row]}" in tip.inner_text()
    assert "certainty" in tip.inner_text()
    assert "blob:" in tip.locator(".picture").evaluate("element => element.style.backgroundImage")
    box = opened.locator("#stage").bounding_box()
    opened.mouse.move(box["x"] + 4, box["y"] + 4)
    tip.wait_for(state="hidden")


def test_the_wheel_zooms_about_the_pointer_and_zero_goes_back(opened, run):
    row = lonely(run)
    spot = place(opened, run, row)
    before = picture(opened)
    opened.mouse.move(*spot)
    opened.mouse.wheel(0, -600)
    opened.wait_for_timeout(200)
    assert picture(opened) != before
    opened.mouse.move(spot[0] + 1, spot[1])
    assert str(page_run.data().names[row]) in opened.locator("#tip").inner_text()  # it stayed under the pointer
    opened.locator("#stage").focus()
    opened.keyboard.press("Escape")
    opened.keyboard.press("0")
    opened.mouse.move(5, 5)
    opened.wait_for_timeout(200)
    assert picture(opened) == before


def lasso(tab, run, cluster):
    (x, y), half = centre(tab, run, cluster)
    tab.mouse.move(x - half, y - half)
    tab.mouse.down()
    for dx, dy in ((half, -half), (half, half), (-half, half)):
        tab.mouse.move(x + dx, y + dy, steps=4)
    tab.mouse.up()


def test_a_lasso_selects_and_the_names_are_copied(opened, run):
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.locator("#lasso").click()
    lasso(opened, run, 1)
    expected = names_in_clusters(run, 1)
    assert f"{len(expected)} selected" in opened.locator("#selection").inner_text()
    opened.get_by_role("button", name="Copy names").click()
    opened.get_by_role("button", name="Copied").wait_for()
    assert opened.evaluate("navigator.clipboard.readText()").split("\n") == expected
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Save names").click()
    assert Path(download.value.path()).read_text().splitlines() == "\n".join(expected).splitlines()


def test_search_finds_names_whatever_they_hold(opened):
    for text, number in (("<script>", 2), ("כלב", 1), ("😀", 1), ("img_1", 50), ("IMG_149", 1), ("nothing", 0)):
        opened.locator("#search").fill(text)
        said = opened.locator("#found strong").inner_text()
        assert said == (f"{number} found" if number else "No name has this in it")
    opened.locator("#search").fill("img_14")
    opened.keyboard.press("Enter")
    assert "10 selected" in opened.locator("#selection").inner_text()


def test_edits_are_made_undone_and_saved(opened, run):
    field = opened.get_by_label("Name of cluster 0")
    field.fill("<img src=x onerror='window.hacked=1'> 😀")
    field.press("Enter")
    opened.get_by_label("Merge cluster 1 with").select_option("2")
    card = opened.locator("#card-2")
    assert "becomes one cluster with 1" in card.inner_text()
    opened.locator("#card-0").get_by_role("button", name="Split").click()
    assert "1 name, 1 merge, 1 split, not saved" in opened.locator("#edits").inner_text()
    opened.get_by_role("button", name="Undo").click()
    assert "split" not in opened.locator("#edits").inner_text()
    opened.locator("#card-0").get_by_role("button", name="Split").click()
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Save edits.json").click()
    assert download.value.suggested_filename == "edits.json"
    edits = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    config = json.loads((run / "config.json").read_text())
    assert edits == {
        "format": 1,
        "run": {
            "method": "toy", "data": page_run.NAME, "data_fingerprint": config["data_fingerprint"], "seed": 0,
            "n_clusters": 3,
        },
        "names": {"0": "<img src=x onerror='window.hacked=1'> 😀"},
        "merge": [[1, 2]],
        "split": [0],
    }  # fmt: skip
    assert "not saved" not in opened.locator("#edits").inner_text()
    opened.reload()
    opened.wait_for_selector("html[data-ready]")
    assert opened.get_by_label("Name of cluster 0").input_value().startswith("<img")
    opened.locator("#card-1").get_by_role("button", name="Take out").click()
    assert opened.locator(".merged").count() == 0


def test_names_of_the_run_are_shown_and_changed(browser, run, tmp_path):
    """Of a run that was edited: a name that is taken away is saved as '', one that stays is not saved."""
    asked = edited_run.Asked(Edits({0: "<i>cats</i>", 1: "dogs"}), "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, "toy", "tests.toy")
        edited_run.make(run, asked, tmp_path / "named", page_run.data())
        page.write(tmp_path / "named", page_run.data())
    tab = browser.new_context(accept_downloads=True).new_page()
    tab.goto((tmp_path / "named" / page.NAME).as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert tab.get_by_label("Name of cluster 0").input_value() == "<i>cats</i>"
    assert "<i>cats</i>" in tab.locator("#legend").inner_text()
    assert tab.locator("#edits").is_hidden()
    for k, name in ((0, ""), (1, "birds")):
        tab.get_by_label(f"Name of cluster {k}").fill(name)
        tab.get_by_label(f"Name of cluster {k}").press("Enter")
    assert "cats" not in tab.locator("#legend").inner_text()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save edits.json").click()
    found, of = edits.read(Path(shutil.copy(download.value.path(), tmp_path / "edits.json")))
    assert found == Edits({0: "", 1: "birds"})
    assert of["n_clusters"] == 3
    assert "jaxclust edit RUN edits.json" in tab.locator("#edits").inner_text()
    tab.get_by_label("Name of cluster 1").fill("dogs")
    tab.get_by_label("Name of cluster 1").press("Enter")
    assert "1 name," in tab.locator("#edits").inner_text()


def test_colours_by_class_certainty_noise_and_level(opened):
    seen = {picture(opened)}
    options = opened.locator("#colour option").evaluate_all("all => all.map((one) => one.value)")
    assert options == ["cluster", "class", "certainty", "typicality", "noise", "level 2"]
    for option in options[1:]:
        opened.locator("#colour").select_option(option)
        opened.wait_for_timeout(150)
        seen.add(picture(opened))
    assert len(seen) == len(options)
    opened.locator("#colour").select_option("class")
    assert page_run.CLASSES[1] in opened.locator("#legend").inner_text()
    first = opened.locator("#legend button").first
    first.click()
    assert first.get_attribute("aria-pressed") == "true"
    opened.locator("#lasso").click()
    box = opened.locator("#stage").bounding_box()
    opened.mouse.move(box["x"] + 5, box["y"] + 5)
    opened.mouse.down()
    for x, y in ((0.99, 0.01), (0.99, 0.99), (0.01, 0.99)):
        opened.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
    opened.mouse.up()
    assert "50 selected" in opened.locator("#selection").inner_text()  # those of the class that is shown alone


def test_the_keyboard_is_enough(opened, run):
    opened.locator("#stage").focus()
    opened.keyboard.press("n")
    opened.keyboard.press("n")
    assert opened.locator("#live").inner_text().startswith(page_run.HOSTILE[1])
    opened.keyboard.press("Enter")
    assert "1 selected" in opened.locator("#selection").inner_text()
    assert page_run.HOSTILE[1] in opened.locator("#selection button.tile").get_attribute("aria-label")
    before = picture(opened)
    for key in ("+", "ArrowLeft", "ArrowDown"):
        opened.keyboard.press(key)
        opened.wait_for_timeout(100)
        now = picture(opened)
        assert now != before
        before = now
    unnamed = opened.evaluate(
        """() => [...document.querySelectorAll('button, input, select, [tabindex]')].filter((one) => !(
            one.getAttribute('aria-label') || one.textContent.trim() || (one.labels && one.labels.length))).length"""
    )
    assert unnamed == 0


def test_what_users_wrote_is_shown_as_text(opened):
    assert page_run.NAME in opened.locator("h1").inner_text()
    assert opened.locator("h1 i").count() == 0
    assert page_run.CLASSES[0] in opened.locator("#cards").inner_text()
    opened.locator("#search").fill("onerror")
    button = opened.locator("#found button.tile")
    assert page_run.HOSTILE[1] in button.get_attribute("aria-label")
    button.hover()
    assert page_run.HOSTILE[1] in opened.locator("#tip").inner_text()
    assert opened.locator("img").count() == 0


def test_scripts_of_others_do_not_run(browser, run):
    """The policy of the page, not luck: a script that somebody puts into the file is not ours."""
    text = (run / page.NAME).read_text(encoding="utf-8")
    (run / "changed.html").write_text(
        text.replace("</h1>", "</h1><script>window.hacked = 1</script>"), encoding="utf-8"
    )
    tab = browser.new_page()
    tab.goto((run / "changed.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert tab.evaluate("window.hacked") is None
    tab.close()


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_passes_the_window_s_width(browser, run, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto((run / page.NAME).as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    red, green, blue = tab.evaluate(
        "[...getComputedStyle(document.body).backgroundColor.matchAll(/\\d+/g)].map(Number)"
    )
    assert (red + green + blue < 200) == (scheme == "dark")
    context.close()


def test_features_show_names_and_values(browser, tmp_path, monkeypatch):
    given = page_run.features()
    directory = page_run.make(tmp_path / "run", given, monkeypatch)
    np.savez(directory / maps.NAME, index=np.arange(60), points=np.random.default_rng(0).normal(size=(60, 2)))
    tab = browser.new_page()
    tab.goto(page.write(directory, given).path.as_uri())
    tab.wait_for_selector("html[data-ready]")
    tab.locator("#search").fill("row 4")
    tab.locator("#found button", has_text="row 4").first.hover()
    assert tab.locator("#tip dl").inner_text().replace("\n", " ").startswith("column 7 300")
    tab.close()


def test_its_speed_is_a_row(browser, run):
    cells = [cell.strip() for cell in speed.line(browser, run / page.NAME).strip("|").split("|")]
    assert cells[0] == run.name
    size, opens, hover, pan = map(float, cells[1:])
    assert size == round((run / page.NAME).stat().st_size / 1e6, 1)
    assert 0 < opens < 60
    assert 1 < hover <= 70
    assert 1 < pan <= 70
