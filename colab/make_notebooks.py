"""Writes the notebooks of this directory: `python colab/make_notebooks.py`; with --check it only compares.

The cells of a notebook lie in cells/NAME.py, as (kind, name, text). Their names are their ids, so the same cells give
the same file. Two names mean something: 'install' gets the text below, and the test that executes the notebooks leaves
it out; in 'settings' that test puts settings for a quick run.
"""

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
Cell = tuple[str, str, str]

INSTALL = """
# jaxclust is not on PyPI: put its sources beside this notebook first (git clone, or upload and unzip, as jaxclust/).
# This leaves the runtime's jax alone: what Colab ships is new enough. Upgraded, it may no longer see the TPU.
%pip install -q ./jaxclust
"""

NOTEBOOKS: dict[str, Sequence[Cell]] = {
    path.stem: runpy.run_path(str(path))["CELLS"] for path in sorted((HERE / "cells").glob("*.py"))
}


def notebook(cells: Sequence[Cell]) -> str:
    """The text of an .ipynb file without outputs."""
    nodes = []
    for kind, name, text in cells:
        make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}[kind]
        tags = {"install": ["skip-execution"], "settings": ["parameters"]}.get(name)
        nodes.append(
            make((INSTALL if name == "install" else text).strip("\n"), id=name, metadata={"tags": tags} if tags else {})
        )
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    node = nbformat.v4.new_notebook(cells=nodes, metadata=metadata)
    node.nbformat_minor = 5  # the first with ids, whatever nbformat's newest is
    nbformat.validate(node)
    return nbformat.writes(node, version=nbformat.NO_CONVERT) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns 1 where a notebook is not what this script makes."""
    parser = argparse.ArgumentParser(description="Write the notebooks.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(argv).check
    code = 0
    for name, cells in NOTEBOOKS.items():
        path, text = HERE / f"{name}.ipynb", notebook(cells)
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path}: out of date: run python colab/make_notebooks.py", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
