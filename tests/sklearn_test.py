"""Every estimator against scikit-learn's own conformance checks, on features (n, d): slow, for most of them train.

The toy is asked for all of them: most are kept by DeepClusterer, which all estimators share. The others are asked for
those that hang on the method, where contract_test.py does not ask for the same. A new method joins by a line in
SETTINGS.
"""

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from jaxclust import estimators, methods
from jaxclust.estimators import DeepClusterer

with pytest.MonkeyPatch.context() as patch:
    patch.setitem(methods.METHODS, "toy", "tests.toy")

    class Toy(DeepClusterer, method="toy"):
        """The toy as an estimator, of a module, so that it can be pickled."""


# Small, yet good enough for check_clustering: three blobs of 50 points, adjusted Rand index above 0.4. Batches are no
# larger than the smallest data, so that fewer programs are compiled.
CODES = {
    "n_clusters": 3, "hidden": (8,), "latent_dim": 3, "pretrain_epochs": 10, "batch_size": 10, "learning_rate": 0.01,
}  # fmt: skip
SETTINGS = {
    "toy": {"n_clusters": 3, "epochs": 5, "learning_rate": 0.1},
    "moe-vae": {
        "n_clusters": 3, "clusterer": "gmm", "draws": 1, "batch_size": 10, "expert_batch_size": 4, "min_steps": 0,
        "search_latent_dim": 2, "latent_dim": 2, "width": 0.03, "expert_width": 0.03, "epochs": 10, "search_epochs": 10,
        "schedule": "constant", "umap_epochs": 50, "manager_epochs": 20, "mixture_epochs": 1, "expert_epochs": 1,
    },
    "cm": {
        "n_clusters": 3, "alpha": 2.0, "start": "k-means", "encoder_start": "posterior", "restarts": 1, "epochs": 5,
        "batch_size": 10,
    },
    "ae-cm": {
        **CODES, "alpha": 2.0, "beta": 0.5, "start": "pretrained", "encoder_start": "posterior", "epochs": 5,
        "module_epochs": 5,
    },
    "vc": {
        "n_clusters": 3, "start": "random", "network": "text", "width": 0.1, "latent_dim": 2, "batch_size": 10,
        "epochs": 20, "min_steps": 0, "learning_rate": 0.01,
    },
    "hrwae-gan": {
        "n_clusters": 3, "clusterer": "gmm", "groups": 1, "width": 0.03, "latent_dim": 2, "critic_widths": (8,),
        "draws": 1, "umap_epochs": 50, "noise_weight": 1.0, "epochs": 10, "attention_epochs": 10, "min_steps": 0,
        "batch_size": 10, "head_epochs": 30, "learning_rate": 0.01, "head_learning_rate": 0.01,
        "schedule": "constant",
    },
    "hc-mgan": {
        "n_clusters": 3, "start": "raw", "width": 0.05, "refinements": 0, "epochs": 1, "min_steps": 160,
        "max_steps": 160, "batch_size": 20, "generator_learning_rate": 2e-3, "discriminator_learning_rate": 2e-3,
        "classifier_learning_rate": 2e-3, "restarts": 0,
    },
    "umap-density": {
        "n_clusters": 3, "draws": 1, "width": 0.03, "head_epochs": 20, "min_steps": 0, "batch_size": 10,
        "learning_rate": 0.01,
    },
    "kmeans": {"n_clusters": 3, "restarts": 2},
    "gmm": {"n_clusters": 3, "restarts": 2},
    "igmm": {"n_clusters": 3, "restarts": 2},
    "ae-kmeans": CODES,
    "dec": {**CODES, "epochs": 5},
    "idec": {**CODES, "epochs": 5},
    "dcn": {**CODES, "epochs": 5},
    "dkm": {**CODES, "epochs": 5},
    "n2d": {**CODES, "classifier_epochs": 20},
    "vade": {**CODES, "epochs": 5},
    "damic": {**CODES, "expert_hidden": (8,), "classifier_epochs": 40, "expert_epochs": 20, "epochs": 5},
    "mixae": {
        "n_clusters": 3, "hidden": (8,), "latent_dim": 3, "epochs": 60, "batch_size": 10, "learning_rate": 0.01,
    },
    "gmvae": {
        "n_clusters": 3, "hidden": (8,), "latent_dim": 3, "noise_dim": 2, "epochs": 60, "batch_size": 10,
        "learning_rate": 0.01,
    },
}  # fmt: skip
ONE_CLUSTER = dict.fromkeys(  # `test_checks_of_one_cluster_hold_for_two` runs them with 2
    (
        "check_dont_overwrite_parameters",
        "check_fit2d_1feature",
        "check_fit2d_predict1d",
        "check_methods_subset_invariance",
    ),
    "sets n_clusters=1, which is an InputError: one cluster is no clustering",
)
SPARSE = dict.fromkeys(
    ("check_estimator_sparse_array", "check_estimator_sparse_matrix"),
    "with predict_proba and sparse X it reads tags.classifier_tags, which is None for a clusterer",
)
OF_THE_CLASS = {  # what X may be, and what is kept of it; each has data of its own shape, so each compiles a fit anew
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_score_takes_y",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
}
OF_THE_CONTRACT = {  # what contract_test.py asks of every method too
    "check_clusterer_compute_labels_predict",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
}
EXPECTED = {**ONE_CLUSTER, **SPARSE}
WITH_SHARED_NETWORKS = {  # dense ones, of images too: contract_test.py asks these whether they find blobs
    "ae-kmeans", "dec", "idec", "dcn", "dkm", "n2d", "vade", "damic", "mixae", "gmvae",
}  # fmt: skip
TOY = Toy(**SETTINGS["toy"])
OTHERS = [estimator(**SETTINGS[estimator.method]) for estimator in estimators.ESTIMATORS]


def of_the_method(estimator):
    """Parameters for pytest: the estimator and each check that hangs on its method."""
    for each, check in estimator_checks_generator(estimator):
        name = check.func.__name__
        if name == "check_clustering" and estimator.method in WITH_SHARED_NETWORKS:
            continue
        if name not in OF_THE_CLASS | OF_THE_CONTRACT and not check.keywords.get("readonly_memmap"):
            marks = [pytest.mark.xfail(reason=EXPECTED[name])] if name in EXPECTED else []
            options = [str(value) for value in check.keywords.values()]
            yield pytest.param(each, check, id="-".join([estimator.method, name, *options]), marks=marks)


@pytest.fixture(autouse=True)
def _registered(toy):
    """The toy is found by its name while a test runs."""


@pytest.mark.slow
@parametrize_with_checks([TOY], expected_failed_checks=lambda _: EXPECTED)
def test_the_toy_keeps_scikit_learn_s_conventions(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), [pair for each in OTHERS for pair in of_the_method(each)])
def test_estimators_keep_scikit_learn_s_conventions(estimator, check):
    check(estimator)


class AtLeastTwo:
    """In front of an estimator's class: n_clusters=1 is read as 2."""

    def __setattr__(self, name, value):
        super().__setattr__(name, 2 if name == "n_clusters" and value == 1 else value)


@pytest.mark.parametrize("check", ONE_CLUSTER)
def test_checks_of_one_cluster_hold_for_two(check):
    kind = type("Toy", (AtLeastTwo, Toy), {})
    getattr(estimator_checks, check)(kind.__name__, kind(**TOY.get_params()))


def test_names_of_columns_are_kept_and_compared():
    """A check that scikit-learn keeps for its own estimators."""
    pytest.importorskip("pandas")
    estimator_checks.check_dataframe_column_names_consistency("Toy", clone(TOY))
