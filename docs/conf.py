"""Settings of the site: python -m sphinx -W docs OUT."""

import jaxclust

project = "jaxclust"
author = "the jaxclust engineers"
release = version = jaxclust.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"jaxclust {version}"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
myst_heading_anchors = 3


def as_written(app, what, name, obj, options, lines):
    """Docstrings are plain text, their columns aligned: shown as they stand."""
    lines[:] = ["::", "", *("   " + line for line in lines), ""]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_written)
