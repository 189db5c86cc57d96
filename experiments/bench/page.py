"""How fast the page of a run is in headless Chromium: `python -m experiments.bench.page RUN [RUN ...]`.

    jaxclust fit kmeans mnist10k.npz --n-clusters 10 --out /tmp/pages/10k
    python -m experiments.bench.page /tmp/pages/10k

    MB         size of report.html
    opens, s   from the request until the map is drawn and answers, the median of three
    hover      frames a second while the pointer wanders over the examples for three seconds
    pan        frames a second while the whole map is dragged for three seconds

The browser draws 60 frames a second at most. Needs playwright (extra 'bench') and Debian's chromium, or another one
named by CHROMIUM. Nothing else should run meanwhile.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from math import cos, sin
from pathlib import Path
from typing import Any

from jaxclust.errors import InputError
from jaxclust.report import page

SECONDS = 3.0
COUNT = "() => { window.frames_ = 0; const next = () => { window.frames_++; requestAnimationFrame(next) }; next() }"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bench.page", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    options = parser.parse_args(argv)
    try:
        files = [found(run) for run in options.runs]
        with driver() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            print("| page | MB | opens, s | hover, frames/s | pan, frames/s |\n|---|---|---|---|---|")
            for file in files:
                print(line(browser, file), flush=True)
            browser.close()
    except InputError as error:
        print(f"experiments.bench.page: error: {error}", file=sys.stderr)
        return 2
    return 0


def found(run: Path) -> Path:
    """The page of a run."""
    file = run / page.NAME
    if not file.is_file():
        raise InputError(f"{run}: has no {page.NAME}: jaxclust report {run} makes it")
    return file.resolve()


def chromium() -> str:
    """The browser's program."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise InputError("no Chromium here: apt-get install chromium, or name one by CHROMIUM")
    return program


def driver() -> Any:
    """Playwright, as a context."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise InputError("playwright is not installed: pip install playwright") from error
    return sync_playwright()


def line(browser: Any, file: Path) -> str:
    """The row of one page."""
    opened = [seconds_to_open(browser, file) for _ in range(3)]
    tab = ready(browser, file)
    hover, pan = frames(tab, dragged=False), frames(tab, dragged=True)
    tab.close()
    size = file.stat().st_size / 1e6
    return f"| {file.parent.name} | {size:.1f} | {statistics.median(opened):.2f} | {hover:.0f} | {pan:.0f} |"


def ready(browser: Any, file: Path) -> Any:
    """A tab with the page, drawn."""
    tab = browser.new_page(viewport={"width": 1600, "height": 1000})
    tab.goto(file.as_uri())
    tab.wait_for_selector("html[data-ready]")
    tab.evaluate(COUNT)
    return tab


def seconds_to_open(browser: Any, file: Path) -> float:
    """Until `ready`."""
    start = time.perf_counter()
    tab = ready(browser, file)
    seconds = time.perf_counter() - start
    tab.close()
    return seconds


def frames(tab: Any, dragged: bool) -> float:
    """Frames a second while the pointer moves over the map along a curve that fills it, with the button down or not."""
    box = tab.locator("#stage").bounding_box()
    x, y, radius = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 0.4 * min(box["width"], box["height"])
    tab.mouse.move(x, y)
    if dragged:
        tab.mouse.down()
    start, begun = time.perf_counter(), tab.evaluate("window.frames_")
    while (passed := time.perf_counter() - start) < SECONDS:
        tab.mouse.move(x + radius * cos(3 * passed), y + radius * sin(5 * passed))
    counted = tab.evaluate("window.frames_") - begun
    seconds = time.perf_counter() - start
    if dragged:
        tab.mouse.up()
    return float(counted / seconds)


if __name__ == "__main__":
    sys.exit(main())
