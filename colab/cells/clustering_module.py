"""Cells of clustering_module.ipynb: kind, name, text."""

CELLS = [
    (
        "markdown",
        "title",
        """
# The clustering module

A Gaussian mixture that is trained as a small autoencoder (Boubekki et al. 2021): alone on the data (`cm`), or on the
code of a deep autoencoder, both trained together (`ae-cm`). No label is used, and several restarts are trained as one
program, of which the one that a criterion without labels prefers is kept.

It runs on a CPU, a GPU or a TPU (*Runtime > Change runtime type*).
""",
    ),
    ("code", "install", ""),
    (
        "code",
        "device",
        """
%matplotlib inline
import os

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", "/tmp/jaxclust-compiled")

import jax
import numpy as np
from sklearn.metrics import adjusted_rand_score

import jaxclust
from jaxclust import AECM, ClusteringModule, load_data
from jaxclust.host.manifold import umap
from jaxclust.report import grids, plots

print("jaxclust", jaxclust.__version__, "with jax", jax.__version__, "on", jax.devices())
""",
    ),
    (
        "code",
        "settings",
        """
DATA, K = "digits", 10  # K: the number of clusters
CM = {"preset": "quick"}
AE_CM = {"preset": "quick"}  # "paper" has the published values: it takes longer
""",
    ),
    (
        "code",
        "data",
        """
data = load_data(DATA)
images, classes = data.images, data.labels  # the classes are for scores only
print(images.shape, images.dtype)
""",
    ),
    (
        "markdown",
        "cm-text",
        """
## Alone, ten restarts at once

The restart with the least L_sp, how far the assignments are from being sharp, is kept.
""",
    ),
    (
        "code",
        "cm",
        """
cm = ClusteringModule(n_clusters=K, restarts=10, seed=0, verbose=True, **CM).fit(images)
print(cm.n_clusters_, "clusters of", np.bincount(cm.labels_, minlength=K), "images; restart", cm.summary_["restart"])
for r, l_sp in enumerate(cm.summary_["l_sp"]):
    print(f"restart {r}: L_sp {l_sp:.4f}, ARI {adjusted_rand_score(classes, cm.opinions_[f'restart_{r}']):.3f}")
""",
    ),
    ("code", "cm-centroids", "grids.centroids(cm.centroids_)"),
    (
        "markdown",
        "ae-text",
        """
## Inside an autoencoder

First the autoencoder alone, then k-means of its codes and the module on them, then all together.
""",
    ),
    (
        "code",
        "ae",
        """
model = AECM(n_clusters=K, seed=0, verbose=True, **AE_CM).fit(images)
print(model.n_clusters_, "clusters of", np.bincount(model.labels_, minlength=K), "images")
""",
    ),
    ("code", "gallery", "grids.gallery(images, model.labels_, model.probabilities_)"),
    ("markdown", "centroids-text", "The centroids, decoded; and what lies between two of them."),
    ("code", "centroids", "grids.centroids(model.centroids_)"),
    (
        "code",
        "interpolate",
        """
pairs = [(0, 1), (1, 2), (2, 0)]
grids.interpolations(np.stack([model.interpolate(start, end) for start, end in pairs]), pairs)
""",
    ),
    (
        "code",
        "map",
        """
points = umap(model.embedding_, 2, seed=0)
plots.cluster_map(points, model.labels_, None, classes, data.class_names)
""",
    ),
    ("markdown", "page-text", "## On a page\n\nThe map with its images, and a card for each cluster."),
    ("code", "page", "jaxclust.show(model, images, y=classes)"),
    (
        "code",
        "scores",
        """
for name, fitted in (("cm", cm), ("ae-cm", model)):
    print(f"{name:6s} ARI {adjusted_rand_score(classes, fitted.labels_):.3f}")
""",
    ),
    (
        "markdown",
        "sparse-text",
        """
## Your own features, tf-idf for instance

Rows are examples; a sparse matrix stays sparse until it is trained on. `scaling` says what is done to the columns:
`"none"` for rows that have length one already, as those of tf-idf, `"unit"` to give them that length, `"standard"` (the
default) for measurements in different units. Here six hundred documents are made up from three lists of frequent words.
""",
    ),
    (
        "code",
        "sparse",
        """
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer

rng = np.random.default_rng(0)
topic = rng.integers(0, 3, 600)
rates = np.full((3, 300), 0.05)
for k in range(3):
    rates[k, 100 * k : 100 * k + 15] = 1.0  # the frequent words of topic k
tfidf = TfidfTransformer().fit_transform(csr_matrix(rng.poisson(rates[topic])))

texts = ClusteringModule(n_clusters=3, restarts=10, scaling="none", seed=0, **CM).fit(tfidf)
print("ARI", round(adjusted_rand_score(topic, texts.labels_), 3))
for k, centroid in enumerate(texts.centroids_):
    print("cluster", k, "has the words", np.sort(centroid.argsort()[-8:]))
""",
    ),
    (
        "markdown",
        "own",
        """
The same on the command line; files made by `scipy.sparse.save_npz`, tables (.csv, .parquet) and images will do:

```bash
jaxclust fit cm tfidf.npz --n-clusters 3 --restarts 10 --scaling none --out runs/texts
jaxclust fit ae-cm photos/ --image-size 32 --n-clusters 10 --network conv --out runs/photos
```
""",
    ),
]
