"""Every estimator against scikit-learn's own conformance checks, on features (n, d).

A new method joins by a line in SETTINGS.
"""


import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxclust import estimators, methods
from jaxclust.estimators import DeepClusterer

with pytest.MonkeyPatch.context() as patch:
    patch.setitem(methods.SYSTEMS, "toy", "tests.toy")

    class Toy(DeepClusterer, method="toy"):
        """The toy as an estimator, of the module, so that it can be pickled."""


SETTINGS = {  # small, but good enough for check_clustering: three blobs of 50 points, adjusted Rand index above 0.4
    "toy": {"n_clusters": 3, "epochs": 5, "learning_rate": 0.1},
    "moe-vae": {
        "n_clusters": 3, "clusterer": "gmm", "draws": 1, "batch_size": 32, "min_steps": 0, "search_latent_dim": 4,
        "latent_dim": 2, "width": 0.03, "expert_width": 0.03, "epochs": 20, "search_epochs": 1, "umap_epochs": 50,
        "manager_epochs": 20, "mixture_epochs": 1, "expert_epochs": 1,
    },
}  # fmt: skip
ESTIMATORS = [estimator(**SETTINGS[estimator.method]) for estimator in (Toy, *estimators.ESTIMATORS)]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_s_checks(toy, estimator, check):
    check(estimator)
