"""report.html: a run as one page to look at, opened from disk.

One file of HTML, with no framework, no build step and no request to anywhere. It holds the coordinates and what else
is known of each example as compressed typed arrays, and the images as sheets (`page_sheets`). The scripts and the style
in `static/` are put in as they are. Data never become markup: scripts set text only, and a content security policy
allows no script but ours, by its hash, and no connection.

Why not another page: datamapplot 0.7 draws such a map and has a lasso, but fetches deck.gl, Arrow, d3, jQuery and fonts
from the network once before it works without, needs dask and datashader, puts labels into the page as markup, and has
neither images in the file nor cards of clusters nor edits. embedding-atlas 0.26 exports a folder that a web server must
serve (modules, workers, and DuckDB of 36 MB as WebAssembly, which browsers refuse from disk), needs
sentence-transformers and fastapi, and has no edits either.
"""

import base64
import hashlib
import html
import json
import re
import zlib
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust import runs
from jaxclust.data import prepare
from jaxclust.data.dataset import Dataset
from jaxclust.errors import InputError
from jaxclust.report import page_contents
from jaxclust.report.colours import NOISE, PALETTE, on_dark
from jaxclust.report.page_contents import Contents
from jaxclust.report.page_sheets import Sheets, packed, planned
from jaxclust.system import atomic

NAME = "report.html"
LARGEST = 20_000_000  # bytes of a page
TABLE = 6_000_000  # of them, for what is known of the examples
MARKUP = 10_000  # of them, for the tags around sheets and for their form
POINTS = 100_000  # examples on the map
DRAWN = 8  # images of each cluster that the model makes
WITHOUT = "This page was made without the data: it has no images, and no classes."
SCRIPTS = ("state.js", "tiles.js", "map.js", "cards.js", "run.js", "page.js")


class Page(NamedTuple):
    """How a page came out: examples of the run, those on the map, those with an image, and bytes."""

    path: Path
    n: int
    mapped: int
    pictured: int
    size: int


def write(run: Path, dataset: Dataset | None, out: Path | None = None) -> Page:
    """Writes the page of a complete run, into it where `out` is None.

    dataset: what the run was fitted to; None for a page without images and classes.
    """
    if dataset is not None:
        _check_same(run, dataset)
    contents = page_contents.collect(run, dataset)
    table, rows = _table(contents, _sampled(contents, POINTS))
    about = contents.about | {
        "mapped": len(rows),
        "palette": list(PALETTE),
        "dark": [on_dark(index) for index in range(len(PALETTE))],
        "noise": NOISE,
        "without": WITHOUT if dataset is None else None,
    }
    pictured, sheet, made = np.zeros(0, np.int64), None, None
    if dataset is not None and dataset.images.ndim == 4:
        made = page_contents.drawn(run, DRAWN)
        room = LARGEST - len(_html(about, table, "", None)) - MARKUP - 16 * len(rows) // 3
        pictured, sheet = _pictures(run, dataset, contents, rows, made, room * 3 // 4)
    about |= {"pictured": len(pictured), "drawn": 0 if made is None else DRAWN}
    if sheet is not None:
        form = {name: value for name, value in sheet._asdict().items() if name != "files"}
        about |= {"sheets": {**form, "first": 0 if made is None else len(made) * DRAWN}}
    text = _html(about, table, _places(rows, pictured), sheet)
    path = atomic.write_text(out or run / NAME, text)
    return Page(path, contents.about["n"], len(rows), len(pictured), path.stat().st_size)


def _check_same(run: Path, dataset: Dataset) -> None:
    """Raises InputError for data that cannot be what the run was fitted to: of another number or shape."""
    preprocess = runs.preprocess_of(run)
    p, n = preprocess, len(np.load(run / "probabilities.npy", mmap_mode="r", allow_pickle=False))
    wanted = (n, p.height, p.width, p.channels) if p.kind == "images" else (n, p.n_features)
    if dataset.images.shape != wanted:
        raise InputError(
            f"{dataset.name}: has the shape {dataset.images.shape} where {run} was fitted to {wanted}: give that data"
        )


def _sampled(contents: Contents, most: int) -> np.ndarray:
    """Sorted rows: all, or `most` of them, those of the cards and a random sample."""
    n = contents.about["n"]
    if n <= most:
        return np.arange(n)
    others = np.setdiff1d(np.arange(n), contents.kept)
    more = max(0, most - len(contents.kept))
    return np.sort(np.concatenate([contents.kept, np.random.default_rng(0).choice(others, more, replace=False)]))


def _table(contents: Contents, rows: np.ndarray) -> tuple[str, np.ndarray]:
    """What is known of the rows as text, and the rows: fewer where that would be more than TABLE."""
    while True:
        text = _packed(contents, rows)
        if len(text) <= TABLE or len(rows) <= len(contents.kept) + 1:
            return text, rows
        rows = _sampled(contents, len(rows) // 2)


def _packed(contents: Contents, rows: np.ndarray) -> str:
    """A head (JSON, one line) that says where each column lies, then the columns; compressed, as base64."""
    names = None if contents.names is None else [str(contents.names[row]) for row in rows]
    parts, head, place = [], {}, 0
    named = json.dumps(names).encode() if names else b""
    for name, column in [*contents.columns.items(), ("names", np.frombuffer(named, np.uint8))]:
        chosen = column if name == "names" else column[rows]
        data = np.ascontiguousarray(chosen).astype(chosen.dtype.newbyteorder("<")).tobytes()
        data += b"\0" * (-len(data) % 4)
        head[name] = [column.dtype.name, place, chosen.size]
        parts.append(data)
        place += len(data)
    first = json.dumps(head).encode()
    first += b" " * (-(len(first) + 1) % 4) + b"\n"
    return base64.b64encode(zlib.compress(first + b"".join(parts), 6)).decode()


def _pictures(
    run: Path, dataset: Dataset, contents: Contents, rows: np.ndarray, made: np.ndarray | None, budget: int
) -> tuple[np.ndarray, Sheets]:
    """Rows that have an image, in the order of their tiles, and the sheets, which begin with what the model drew.

    The cards' rows come first, then as many of the others as fit, by cluster: what is looked at together lies together.
    """
    preprocess = runs.preprocess_of(run)
    shape = dataset.images.shape[1:]
    first = np.zeros((0, *shape), np.uint8) if made is None else made.reshape(-1, *shape)
    order = np.concatenate([contents.kept, np.random.default_rng(1).permutation(np.setdiff1d(rows, contents.kept))])

    def read(numbers: np.ndarray) -> np.ndarray:
        raw = np.asarray(dataset.images[order[numbers[numbers >= len(first)] - len(first)]])
        own = prepare.quantise(raw, preprocess.low, preprocess.high)
        return np.concatenate([first[numbers[numbers < len(first)]], own])

    size, fit = planned(read, len(first) + len(order), shape, budget)
    n_kept = len(contents.kept)
    more = order[n_kept : max(n_kept, fit - len(first))]
    cluster = contents.columns["cluster"]
    order = np.concatenate([*(part[np.argsort(cluster[part], kind="stable")] for part in (order[:n_kept], more))])
    found = packed(read, len(first) + len(order), size, budget)
    return order[: max(0, found.n - len(first))], found


def _places(rows: np.ndarray, pictured: np.ndarray) -> str:
    """The tile of each row on the map, uint32, the largest where it has none; compressed, as base64."""
    tile = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    tile[np.searchsorted(rows, pictured)] = np.arange(len(pictured), dtype=np.uint32)
    return base64.b64encode(zlib.compress(tile.astype("<u4").tobytes(), 6)).decode()


def _html(about: dict[str, Any], table: str, places: str, sheet: Sheets | None) -> str:
    script = '"use strict";\n(() => {\n' + "".join(_static(name) for name in SCRIPTS) + "})();\n"
    style = _static("page.css")
    files = [] if sheet is None else sheet.files
    blocks = [f'<script type="text/plain" id="sheet-{i}">{base64.b64encode(file).decode()}</script>'
              for i, file in enumerate(files)]  # fmt: skip
    holes = {
        "title": html.escape(f"{about['method']}: {about.get('data', '')}".encode("utf-8", "replace").decode()),
        "policy": f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src blob: data:; form-action 'none'; base-uri 'none'",
        "style": style,
        "script": script,
        "about": _json(about),
        "table": table,
        "places": places,
        "sheets": "\n".join(blocks),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda hole: holes[hole[1]], _static("page.html"))


def _json(value: Any) -> str:
    """JSON that no HTML parser takes for markup."""
    text = json.dumps(atomic.plain(value), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _static(name: str) -> str:
    return (resources.files("jaxclust.report") / "static" / name).read_text(encoding="utf-8")
