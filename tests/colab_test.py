"""The notebooks are what their script makes, and they run."""

import importlib.util
import os
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.conftest import QUICKLY

ROOT = Path(__file__).parents[1]
QUICK = {  # rehearsals: seconds instead of minutes
    "quickstart": """
DATA = "digits"
SETTINGS = dict(
    preset="quick", epochs=1, search_epochs=1, manager_epochs=1, mixture_epochs=1, expert_epochs=1, min_steps=1,
    draws=1, umap_epochs=30, search_latent_dim=10, width=0.25, min_filters=4, expert_min_filters=4,
)
""",
    "clustering_module": """
DATA, K = "digits", 10
CM = dict(preset="quick", epochs=2, min_steps=1)
AE_CM = dict(preset="quick", hidden=(50,), pretrain_epochs=2, module_epochs=2, epochs=2, min_steps=1, draws=1)
""",
    "variational": """
DATA, K = "digits", 10
VC = dict(preset="quick", width=0.25, min_filters=4, draws=1, pretrain_epochs=1, guided_epochs=1, epochs=1, min_steps=1)
""",
    "hierarchical": """
DATA, K = "digits", 10
HRWAE = dict(
    preset="quick", width=0.25, min_filters=4, draws=1, umap_epochs=30, epochs=2, attention_epochs=1, min_steps=1
)
""",
    "tree": """
DATA, K = "digits", 3
HC = dict(preset="quick", width=0.03, refinements=1, min_steps=32, max_steps=32, refinement_steps=1.0)
""",
}
PICTURES = {
    "quickstart": ["gallery", "map", "samples", "predict"],
    "clustering_module": ["cm-centroids", "gallery", "centroids", "interpolate", "map"],
    "variational": ["gallery", "samples", "latent", "numbers"],
    "hierarchical": ["gallery", "samples", "prior", "groups"],
    "tree": ["dendrogram", "top", "samples"],
}
PRINTED = {
    "quickstart": {"fit": "clusters;"},
    "clustering_module": {"ae": "10 clusters of", "sparse": "ARI "},
    "variational": {"fit": "clusters with 1 %"},
    "hierarchical": {"fit": "group_1"},
    "tree": {"fit": "before refinement", "cuts": "3 leaves"},
}


def script():
    spec = importlib.util.spec_from_file_location("make_notebooks", ROOT / "colab" / "make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = script()


@pytest.fixture(params=make.NOTEBOOKS)
def name(request):
    return request.param


def test_a_notebook_is_what_the_script_makes(name):
    written = (ROOT / "colab" / f"{name}.ipynb").read_text()
    assert written == make.notebook(make.NOTEBOOKS[name]), "run python colab/make_notebooks.py"


def test_the_script_makes_the_same_file_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make, "HERE", tmp_path)
    assert make.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert make.main([]) == make.main(["--check"]) == 0
    (tmp_path / "quickstart.ipynb").write_text("{}")
    assert make.main(["--check"]) == 1


def test_cells_have_ids_and_no_outputs(name):
    node = nbformat.read(ROOT / "colab" / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(node)
    ids = [cell.id for cell in node.cells]
    assert len(set(ids)) == len(ids)
    assert all(not cell.outputs and cell.execution_count is None for cell in node.cells if cell.cell_type == "code")


def test_colab_keeps_its_jax(name):
    """What the notebook installs never upgrades or pins jax."""
    node = nbformat.read(ROOT / "colab" / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    lines = [line for cell in node.cells for line in cell.source.splitlines() if "pip install" in line]
    assert lines == ["%pip install -q ./jaxclust"]


@pytest.mark.slow
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", QUICKLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    node = nbformat.read(ROOT / "colab" / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    (settings,) = (cell for cell in node.cells if "parameters" in cell.metadata.get("tags", ()))
    settings.source = QUICK[name]
    client = nbclient.NotebookClient(
        node,
        timeout=600,
        kernel_name="python3",
        skip_cells_with_tag="skip-execution",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    code = {cell.id: cell for cell in node.cells if cell.cell_type == "code"}
    assert [cell.id for cell in code.values() if cell.execution_count is None] == ["install"]
    pictures = [key for key, cell in code.items() if any("image/png" in out.get("data", {}) for out in cell.outputs)]
    assert pictures == PICTURES[name]
    for cell, words in PRINTED[name].items():
        assert words in "".join(out.get("text", "") for out in code[cell].outputs)
    (page,) = code["page"].outputs
    assert "<iframe" in page["data"]["text/html"]
    if name == "quickstart":
        assert "below 0.05" in code["outliers"].outputs[0].text
        assert (tmp_path / "quickstart-model" / "config.json").exists()
