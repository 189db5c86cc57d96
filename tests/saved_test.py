"""Models and settings that earlier states saved load, and predict what they predicted then.

saved/*/expected.npy: of 20 blobs. State a8a318d saved moe-vae, ae-cm and settings_1.json (each method's preset quick),
in format 1; the last state of format 2 saved moe-vae-2, with loss 'damic'; the first with checksums, kmeans-3.
"""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import jaxclust
from jaxclust import methods
from jaxclust.errors import InputError
from jaxclust.runs import formats
from tests.contract_test import IMAGES

SAVED = Path(__file__).parent / "saved"
SETTINGS = json.loads((SAVED / "settings_1.json").read_text())


MODELS = {"moe-vae": 1, "ae-cm": 1, "moe-vae-2": 2, "kmeans-3": 3}  # and their formats


def test_there_is_a_model_of_each_format():
    assert set(MODELS.values()) == set(range(1, formats.FORMAT + 1))


@pytest.mark.parametrize("name", MODELS)
def test_an_older_model_predicts_as_it_did(name):
    model = jaxclust.load(SAVED / name)
    assert json.loads((SAVED / name / "model/model.json").read_text())["format"] == MODELS[name]
    assert name.startswith(model.method)
    found = model.predict_proba(IMAGES[:20])
    np.testing.assert_allclose(found, np.load(SAVED / name / "expected.npy"), atol=1e-5)  # machines differ in rounding
    np.testing.assert_array_equal(found.argmax(1), model.labels_[:20])


@pytest.mark.parametrize("name", SETTINGS)
def test_older_settings_become_all_of_today_s(name):
    config = methods.find(name).Config
    today = formats.translated(1, name, SETTINGS[name])
    assert set(today) == {field.name for field in fields(config)}
    made = config(**today)
    assert all(getattr(made, key) == value for key, value in today.items() if not isinstance(value, list))
    assert formats.translated(formats.FORMAT, name, today) == today
    kept = formats.translated(1, name, {**SETTINGS[name], "granularity": "fine"})
    assert kept["granularity"] == "fine", "a model of a state between has it already"


@pytest.mark.parametrize("format", [1, 2])
@pytest.mark.parametrize("trained", [{"loss": "damic", "pretrain": True}, {"loss": "moe", "pretrain": False}])
def test_how_a_mixture_was_trained_does_not_matter_to_it(format, trained, tmp_path):
    """moe-vae had DAMIC's loss and MIXAE's start as options, which went; a model that had them predicts the same."""
    shutil.copytree(SAVED / "moe-vae", tmp_path / "run")
    for name in ("config.json", "model/model.json"):
        path = tmp_path / "run" / name
        kept = json.loads(path.read_text())
        holder = kept if name == "config.json" else kept["meta"]
        settings = formats.translated(1, "moe-vae", holder["config"]) if format == 2 else holder["config"]
        holder["config"] = {**settings, **trained}
        if "format" in kept:
            kept["format"] = format
        path.write_text(json.dumps(kept))
    before, after = jaxclust.load(SAVED / "moe-vae"), jaxclust.load(tmp_path / "run")
    np.testing.assert_array_equal(after.predict_proba(IMAGES[:20]), before.predict_proba(IMAGES[:20]))
    assert not {"loss", "pretrain"} & set(after.get_params())


@pytest.mark.parametrize("format", [0, 4, None, "1"])
def test_other_formats_are_refused(format, tmp_path):
    shutil.copytree(SAVED / "ae-cm", tmp_path / "run")
    path = tmp_path / "run" / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": format}))
    with pytest.raises(InputError, match=r"model.json: format .* is none of 1 to 3: use the jaxclust that wrote it"):
        jaxclust.load(tmp_path / "run")
