"""Cells of tree.ipynb: kind, name, text."""

CELLS = [
    (
        "markdown",
        "title",
        """
# A tree of clusters, grown by GANs

`hc-mgan` (Mello 2021): two generators learn to draw the images of a cluster, each a part of them, and a classifier
learns who drew what. What it says about the real images splits the cluster in two; then the parts are split, and so on.
In preset `quick` a cut of the graph of nearest neighbours says first where to split, and the networks go on from there.

It runs on a CPU, a GPU or a TPU (*Runtime > Change runtime type*). On a CPU ten clusters of the small digits take some
minutes.
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
from jaxclust import HCMGAN, load_data
from jaxclust.report import grids, trees

print("jaxclust", jaxclust.__version__, "with jax", jax.__version__, "on", jax.devices())
""",
    ),
    (
        "code",
        "settings",
        """
DATA, K = "digits", 10  # K: the number of leaves; "auto" splits until no split separates anything
HC = {"preset": "quick"}  # "paper" has the published values: it takes days; "start": "raw" is its way to begin
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
model = HCMGAN(n_clusters=K, seed=0, verbose=True, **HC).fit(images)
print("leaves: ARI", round(adjusted_rand_score(classes, model.labels_), 3))
print("before refinement: ARI", round(adjusted_rand_score(classes, model.opinions_["unrefined"]), 3))
""",
    ),
    (
        "markdown",
        "tree-text",
        """
## The tree

How much of the data each node holds, and when its parts would merge again. `newick()` and `linkage()` are for other
tools.
""",
    ),
    ("code", "dendrogram", "trees.dendrogram(model.tree_.splits, model.tree_.masses)"),
    ("code", "newick", "print(model.tree_.newick())"),
    (
        "code",
        "cuts",
        """
for n_leaves in range(2, model.n_clusters_ + 1):  # the tree as it was with fewer leaves: nothing is fitted again
    labels = model.labels_at(n_leaves)
    print(n_leaves, "leaves: ARI", round(adjusted_rand_score(classes, labels), 3))
""",
    ),
    ("code", "top", "grids.top(images if images.ndim == 4 else images[..., None], model.probabilities_)"),
    (
        "markdown",
        "samples-text",
        """
## New images

Drawn by the generator of each leaf.
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
    ("markdown", "page-text", "## On a page\n\nThe map with its images, and a card for each cluster."),
    ("code", "page", "jaxclust.show(model, images, y=classes)"),
    (
        "markdown",
        "shell",
        """
On the command line, with all the figures in a run directory, among them the tree with examples of every node:

```bash
jaxclust fit hc-mgan digits --n-clusters 10 --out runs/tree
jaxclust sample runs/tree --cluster 3 --out new.png
```
""",
    ),
]
