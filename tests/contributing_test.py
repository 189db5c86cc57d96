"""The method that CONTRIBUTING.md adds is one."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from jaxclust import methods
from jaxclust.cli import main
from jaxclust.metrics.clustering import accuracy
from tests.contract_test import IMAGES, LABELS

IMPORTS = """
from dataclasses import dataclass
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.cluster import AgglomerativeClustering
from jaxclust.estimators.base import DeepClusterer
from jaxclust.methods.base import Functions, Method, Model, presets
from jaxclust.methods.shared.outcome import outcome
from jaxclust.numerics import squared_distances
from jaxclust.train.training import to_unit
"""


def test_the_worked_method_is_added_by_its_line(monkeypatch, tmp_path, capsys):
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    module = ModuleType("added_ward")
    monkeypatch.setitem(sys.modules, "added_ward", module)  # where dataclasses look their module up
    monkeypatch.setitem(methods.METHODS, "ward", "added_ward")
    exec(compile(IMPORTS + code, "CONTRIBUTING.md", "exec"), module.__dict__)
    model = module.Ward(preset="quick").fit(IMAGES)
    assert accuracy(model.labels_, LABELS) == 1
    model.save(tmp_path / "run")
    np.testing.assert_array_equal(module.Ward.load(tmp_path / "run").predict(IMAGES), model.labels_)
    np.savez(tmp_path / "blobs.npz", images=IMAGES, labels=LABELS)
    command = [
        "fit",
        "ward",
        str(tmp_path / "blobs.npz"),
        "--n-clusters",
        "4",
        "--no-figures",
        "--out",
        str(tmp_path / "four"),
    ]
    assert main(command) == 0
    assert re.search(r"^clusters +4$", capsys.readouterr().out, re.M)
