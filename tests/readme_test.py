"""What README and docs/ say is so: commands, files, and the Python in them, which is executed with small settings."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import jaxclust
from jaxclust import methods
from jaxclust.cli import fit as fit_command
from jaxclust.data.sources import BUILT_IN

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
LINKS = [(page, link) for page in PAGES for link in re.findall(r"\]\(((?!http)[^)#]+)\)", page.read_text())]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


def test_the_two_commands_stand_there():
    assert "pip install . && jaxclust fit moe-vae digits\n" in blocks("bash")
    assert "pip install '.[test]' && pytest\n" in blocks("bash")


def test_nothing_is_left_to_fill_in():
    assert "TODO" not in TEXT


def test_the_commands_of_fit_are_understood():
    commands = "".join(blocks("bash")).replace("\\\n", " ").replace('"$JOB_COMPLETION_INDEX"', "0")
    lines = re.findall(r"^jaxclust fit (.*)$", commands, re.M)
    assert len(lines) >= 2
    for line in lines:
        name, *rest = shlex.split(line, comments=True)
        fit_command.parse(methods.find(name), rest)


def test_built_in_data_is_all_named():
    table = (ROOT / "docs" / "data.md").read_text()
    assert {name for name in BUILT_IN if f"`{name}`" not in table} == set()


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_files_that_they_link_to_exist(page, link):
    assert (page.parent / link).exists()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_page_is_on_the_site():
    index = (ROOT / "docs" / "index.md").read_text().splitlines()
    assert {page.stem for page in PAGES[1:]} - {"index"} <= set(index)


@pytest.mark.slow
def test_the_functional_core_runs():
    (code,) = (block for block in blocks("python") if "core.classifier(" in block)
    assert "total_steps(10," in code
    found = {}
    exec(compile(code.replace("total_steps(10,", "total_steps(1,"), "core.md", "exec"), found)
    assert found["codes"].shape == (1797, 10)
    assert found["log_p"].shape == (1797, 10)


@pytest.mark.slow
def test_a_method_put_together_from_two_runs():
    (code,) = (block for block in blocks("python") if "core.clustering_module(" in block)
    assert len(code.splitlines()) < 30
    assert "total_steps(20," in code
    found = {}
    exec(compile(code.replace("total_steps(20,", "total_steps(1,"), "core.md", "exec"), found)
    assert found["codes"].shape == (1797, 16)
    assert found["labels"].shape == (1797,)


@pytest.mark.slow
def test_the_estimator_runs(tmp_path, monkeypatch):
    (code,) = (block for block in blocks("python") if "MoEVAE(" in block)
    small = (
        'preset="quick", epochs=1, search_epochs=1, manager_epochs=1, mixture_epochs=1, expert_epochs=1, min_steps=1, '
        "draws=1, umap_epochs=30, search_latent_dim=10, width=0.25, min_filters=4, expert_min_filters=4"
    )
    assert 'MoEVAE(n_clusters="auto", seed=0)' in code
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(code.replace("seed=0)", f"seed=0, {small})"), "README.md", "exec"), found)
    assert isinstance(found["model"], jaxclust.MoEVAE)
    assert (tmp_path / "digits-model" / "config.json").exists()


@pytest.mark.slow
def test_edits_of_an_estimator_run():
    (code,) = (block for block in blocks("python") if ".merge(" in block)
    assert "UMAPDensity(n_clusters=10)" in code
    found = {}
    small = "UMAPDensity(n_clusters=10, min_steps=200, draws=2)"
    exec(compile(code.replace("UMAPDensity(n_clusters=10)", small), "using.md", "exec"), found)
    assert (found["fewer"].n_clusters_, found["finer"].n_clusters_) == (8, 11)
    np.testing.assert_array_equal(found["finer"].labels_, found["finer"].predict(found["images"]))


@pytest.mark.slow
def test_the_estimator_with_centroids_runs():
    (code,) = (block for block in blocks("python") if "AECM(" in block)
    small = "preset='quick', hidden=(16,), pretrain_epochs=1, module_epochs=1, epochs=1, start='pretrained'"
    assert "seed=0)" in code
    found = {}
    exec(compile(code.replace("seed=0)", f"seed=0, {small})"), "README.md", "exec"), found)
    assert found["model"].centroids_.shape == (10, 8, 8, 1)
    assert found["model"].interpolate(0, 1).shape == (9, 8, 8, 1)


@pytest.mark.slow
def test_variational_clustering_runs():
    (code,) = (block for block in blocks("python") if "VariationalClustering(" in block)
    small = "preset='quick', start='random', epochs=1, min_steps=1, width=0.25, min_filters=4"
    assert "seed=0)" in code
    found = {}
    exec(compile(code.replace("seed=0)", f"seed=0, {small})"), "README.md", "exec"), found)
    assert found["model"].n_clusters_ == 10


@pytest.mark.slow
def test_a_warm_start_runs(caplog):
    (code,) = (block for block in blocks("python") if "init_from=" in block)
    small = "hidden=(8,), latent_dim=4, pretrain_epochs=1"
    code = code.replace("AEKMeans(n_clusters=10", f"AEKMeans(n_clusters=10, {small}")
    code = code.replace("N2D(n_clusters=10", f"N2D(n_clusters=10, classifier_epochs=1, {small}")
    found = {}
    exec(compile(code, "methods.md", "exec"), found)
    assert isinstance(found["model"], jaxclust.N2D)
    assert "classifier: begins anew" in caplog.text
    assert "autoencoder" not in caplog.text
