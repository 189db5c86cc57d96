"""Cells of hierarchical.ipynb: kind, name, text."""

CELLS = [
    (
        "markdown",
        "title",
        """
# A hierarchical Wasserstein autoencoder-GAN

`hrwae-gan` (Morais 2021): the code of an autoencoder has several groups, from the top of the network downwards. Each
is pulled towards its prior by a critic, so that images can be drawn as well as clustered.

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
from jaxclust import HRWAEGAN, load_data
from jaxclust.report import grids, plots

print("jaxclust", jaxclust.__version__, "with jax", jax.__version__, "on", jax.devices())
""",
    ),
    (
        "code",
        "settings",
        """
DATA, K = "digits", 10  # K: the number of clusters; "auto" finds it
HRWAE = {"preset": "quick"}  # "paper" has the published values: it takes longer
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
model = HRWAEGAN(n_clusters=K, groups=2, seed=0, verbose=True, **HRWAE).fit(images)
print("labels: ARI", round(adjusted_rand_score(classes, model.labels_), 3))
for name, labels in model.opinions_.items():  # every group, -1 where it has noise
    print(f"{name}: ARI {adjusted_rand_score(classes, labels):.3f}, noise {np.mean(labels < 0):.1%}")
""",
    ),
    ("code", "gallery", "grids.gallery(images, model.labels_, model.probabilities_)"),
    (
        "markdown",
        "health-text",
        """
## Is the training sound?

On images that were held out, after each stretch of the training: `mmd`, how far the codes of each group are from their
prior (0: they are alike), and `told_apart`, how often its critic tells them from it (0.5: it cannot).
""",
    ),
    (
        "code",
        "health",
        """
print("ended before its time:", model.summary_["ended"])
for look in model.summary_["health"]:
    print("MMD^2", np.round(look["mmd"], 3), "told apart", np.round(look["told_apart"], 2))
""",
    ),
    (
        "markdown",
        "samples-text",
        """
## New images

Of each cluster, by a Gaussian of its codes; then of none in particular, from the prior.
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
    ("code", "prior", "grids.samples(model.sample(24, seed=0).reshape(3, 8, *images.shape[1:3], 1))"),
    (
        "markdown",
        "groups-text",
        """
## What the lower group sees

UMAP of its codes, coloured by the labels, which are of the top group, and by the classes.
""",
    ),
    (
        "code",
        "groups",
        """
from umap import UMAP

points = UMAP(random_state=0, n_jobs=1).fit_transform(model.transform(images, group=1))
plots.cluster_map(points, model.labels_, model.noise_, classes)
""",
    ),
    ("markdown", "page-text", "## On a page\n\nThe map with its images, and a card for each cluster."),
    ("code", "page", "jaxclust.show(model, images, y=classes)"),
    (
        "markdown",
        "shell",
        """
On the command line, with all the figures in a run directory:

```bash
jaxclust fit hrwae-gan photos/ --image-size 32 --groups 2 --out runs/photos
jaxclust sample runs/photos --out new.png
```
""",
    ),
]
