"""Models that state a8a318d saved load, and predict what they predicted then. saved/*/expected.npy: of 20 blobs."""

from pathlib import Path

import numpy as np
import pytest

import jaxclust
from tests.contract_test import IMAGES

SAVED = Path(__file__).parent / "saved"


@pytest.mark.parametrize("name", ["moe-vae", "ae-cm"])
def test_an_older_model_predicts_as_it_did(name):
    model = jaxclust.load(SAVED / name)
    assert model.method == name
    found = model.predict_proba(IMAGES[:20])
    np.testing.assert_allclose(found, np.load(SAVED / name / "expected.npy"), atol=1e-5)  # machines differ in rounding
    np.testing.assert_array_equal(found.argmax(1), model.labels_[:20])
