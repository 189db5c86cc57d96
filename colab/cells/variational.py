"""Cells of variational.ipynb: kind, name, text."""

CELLS = [
    (
        "markdown",
        "title",
        """
# Variational clustering

A variational autoencoder whose prior is a mixture of Gaussians (Prasad et al. 2020): one network says which cluster an
image belongs to, another where it lies in that cluster, and an image and its transformed copy should agree on both.
Every cluster can be drawn from, and one can walk from one to another.

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
from jaxclust import VariationalClustering, load_data
from jaxclust.report import grids

print("jaxclust", jaxclust.__version__, "with jax", jax.__version__, "on", jax.devices())
""",
    ),
    (
        "code",
        "settings",
        """
DATA, K = "digits", 10  # K: the number of clusters; "auto" finds it
VC = {"preset": "quick"}  # "paper" has the published values: it takes longer
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
        "code",
        "fit",
        """
model = VariationalClustering(n_clusters=K, seed=0, verbose=True, **VC).fit(images)
print(model.summary_["effective_clusters"], "clusters with 1 % of the images or more")
print("ARI", round(adjusted_rand_score(classes, model.labels_), 3))
""",
    ),
    ("code", "gallery", "grids.gallery(images, model.labels_, model.probabilities_)"),
    (
        "markdown",
        "samples-text",
        """
## What a cluster looks like

Codes are drawn from the cluster's Gaussian and decoded. `centroids_` are the decoded means.
""",
    ),
    (
        "code",
        "samples",
        """
shown = list(range(model.n_clusters_))
grids.samples(np.stack([model.sample(8, cluster=k, seed=0) for k in shown]), shown)
""",
    ),
    (
        "markdown",
        "between-text",
        """
## From one cluster to another

On the straight line between two means; then of mixtures of the two clusters' numbers, which the prior's network was
never shown.
""",
    ),
    (
        "code",
        "latent",
        """
pairs = [(0, 1), (1, 2), (2, 0)]
grids.interpolations(np.stack([model.interpolate(start, end) for start, end in pairs]), pairs)
""",
    ),
    (
        "code",
        "numbers",
        """
grids.interpolations(np.stack([model.interpolate(start, end, space="clusters") for start, end in pairs]), pairs)
""",
    ),
    ("markdown", "page-text", "## On a page\n\nThe map with its images, and a card for each cluster."),
    ("code", "page", "jaxclust.show(model, images, y=classes)"),
    (
        "markdown",
        "own",
        """
## Your own augmentation

What should not change the cluster is a pure function of a key and an image in [0, 1], in a module of yours:

```python
# mine.py
def darker(key, image):
    return image * jax.random.uniform(key, minval=0.7)

VariationalClustering(n_clusters=10, augmentation="mine:darker")  # or the function itself
```

or on the command line, with all the figures in a run directory:

```bash
jaxclust fit vc photos/ --image-size 32 --n-clusters 10 --augmentation mine:darker --out runs/photos
```
""",
    ),
]
