"""Writes the notebooks of this directory: `python colab/make_notebooks.py`; with --check it only compares.

A cell is (kind, name, text). Its name is its id, so the same script gives the same file. Two names mean something to
the test that executes the notebooks: 'install' is left out, and 'settings' is replaced by settings for a quick run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
Cell = tuple[str, str, str]

INSTALL: Cell = (
    "code",
    "install",
    """
# jaxclust is not on PyPI: put its sources beside this notebook first (git clone, or upload and unzip, as jaxclust/).
# This leaves the runtime's jax alone: what Colab ships is new enough. Upgraded, it may no longer see the TPU.
%pip install -q ./jaxclust
""",
)

QUICKSTART: list[Cell] = [
    (
        "markdown",
        "title",
        """
# jaxclust in ten minutes

Images without labels in; clusters, their number and a model out. The method is `moe-vae`: an autoencoder, UMAP and
HDBSCAN find the clusters, a manager network learns them, and each cluster gets a variational autoencoder of its own.

It runs on a CPU, a GPU or a TPU (*Runtime > Change runtime type*).
""",
    ),
    INSTALL,
    (
        "code",
        "device",
        """
%matplotlib inline
import os

# Compiled programs are kept here; point it to your Drive to keep them between sessions.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", "/tmp/jaxclust-compiled")

import jax
import numpy as np

import jaxclust
from jaxclust import MoEVAE, load_data
from jaxclust.host.manifold import umap
from jaxclust.report import grids, plots

print("jaxclust", jaxclust.__version__, "with jax", jax.__version__, "on", jax.devices())
""",
    ),
    (
        "markdown",
        "data-text",
        """
## Data

`digits` comes with scikit-learn: 1797 handwritten digits of 8 x 8 pixels. Other names work too (`mnist`,
`fashion_mnist`, `usps`, ...), and so does your own folder of images: see the end. The classes are used to look at the
result, never to find it.
""",
    ),
    (
        "code",
        "settings",
        """
DATA = "digits"
SETTINGS = {"preset": "quick"}  # "paper" has the published values: it takes a GPU or TPU, and long
""",
    ),
    (
        "code",
        "data",
        """
data = load_data(DATA)
train, new = data.images[:-100], data.images[-100:]  # the last hundred play the new images
print(data.images.shape, data.images.dtype)
""",
    ),
    (
        "markdown",
        "fit-text",
        """
## Fit

The number of clusters is found. The same seed on the same machine gives the same labels. The first minutes on a new
machine are compilation.
""",
    ),
    (
        "code",
        "fit",
        """
model = MoEVAE(n_clusters="auto", seed=0, verbose=True, **SETTINGS).fit(train)
print(model.n_clusters_, "clusters;", f"{model.noise_.mean():.1%} of the images are noise to HDBSCAN")
print("latent size", model.summary_["latent_dim"], "and, of the experts,", model.summary_["expert_latent_dims"])
""",
    ),
    (
        "markdown",
        "look-text",
        """
## Look

Each row is a cluster: its most certain members at the left, the least certain at the right.
""",
    ),
    ("code", "gallery", "grids.gallery(train, model.labels_, model.probabilities_)"),
    (
        "markdown",
        "map-text",
        """
A map of the embedding, by cluster and, since digits have classes, by class. This map is for the eye: the clusters were
found in more dimensions.
""",
    ),
    (
        "code",
        "map",
        """
points = umap(model.embedding_, 2, seed=0)
classes = None if data.labels is None else data.labels[:-100]
plots.cluster_map(points, model.labels_, model.noise_, classes, data.class_names)
""",
    ),
    ("markdown", "samples-text", "## New images from each cluster\n\nDrawn by each cluster's own expert."),
    (
        "code",
        "samples",
        """
grids.samples(np.stack([model.sample(12, cluster=k) for k in range(model.n_clusters_)]))
""",
    ),
    (
        "markdown",
        "predict-text",
        """
## Label images that it has not seen

The manager network does this. Each label depends on its image alone, not on the others.
""",
    ),
    (
        "code",
        "predict",
        """
labels, certainty = model.predict(new), model.predict_proba(new).max(1)
print(labels[:20], certainty[:20].round(2))
grids.reconstructions(new[:28], model.reconstruct(new[:28]))
""",
    ),
    (
        "markdown",
        "save-text",
        "## Save and load\n\nPlain arrays and JSON; nothing is pickled. The command line reads it too.",
    ),
    (
        "code",
        "save",
        """
model.save("quickstart-model", overwrite=True)
again = MoEVAE.load("quickstart-model")
assert (again.predict(new) == labels).all()
""",
    ),
    (
        "markdown",
        "own",
        """
## Your own images

```python
images = load_data("/content/drive/MyDrive/photos", image_size=32).images  # or an .npz, .npy or idx file
model = MoEVAE(n_clusters="auto", seed=0, verbose=True).fit(images)
```

or on the command line, with all the figures in a run directory:

```bash
jaxclust fit moe-vae photos/ --image-size 32 --out runs/photos
jaxclust predict runs/photos more-photos/ --out labels.csv
```

Sub-folders, if there are any, are taken as classes, for scores only. A few hundred images are the least for clusters
to be found by their density; below that, give their number with `n_clusters`.
""",
    ),
]

CLUSTERING_MODULE: list[Cell] = [
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
    INSTALL,
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

NOTEBOOKS = {"quickstart": QUICKSTART, "clustering_module": CLUSTERING_MODULE}


def notebook(cells: Sequence[Cell]) -> str:
    """The text of an .ipynb file without outputs."""
    nodes = []
    for kind, name, text in cells:
        make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}[kind]
        tags = {"install": ["skip-execution"], "settings": ["parameters"]}.get(name)
        nodes.append(make(text.strip("\n"), id=name, metadata={"tags": tags} if tags else {}))
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    node = nbformat.v4.new_notebook(cells=nodes, metadata=metadata)
    node.nbformat_minor = 5  # the first with ids, whatever nbformat's newest is
    nbformat.validate(node)
    return nbformat.writes(node, version=nbformat.NO_CONVERT) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns 1 where a notebook is not what this script makes."""
    parser = argparse.ArgumentParser(description="Write the notebooks.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(argv).check
    code = 0
    for name, cells in NOTEBOOKS.items():
        path, text = HERE / f"{name}.ipynb", notebook(cells)
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path}: out of date: run python colab/make_notebooks.py", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
