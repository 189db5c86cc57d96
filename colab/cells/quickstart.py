"""Cells of quickstart.ipynb: kind, name, text."""

CELLS = [
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
    ("code", "install", ""),
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
    (
        "markdown",
        "page-text",
        """
## The clusters in a table, and on a page

`nearest` is the cluster whose mean is nearest: a pair to look at before you merge anything. The page has the map with
its images: zoom, hover, select, name and merge clusters there. What it saves as `edits.json` goes to `model.edit`.
""",
    ),
    ("code", "table", "model.clusters_"),
    ("code", "page", 'jaxclust.show(model, train, y=classes)  # .save("clusters.html") writes it'),
    (
        "markdown",
        "edit-text",
        """
## Name and merge

Each edit makes another estimator; the one before stays as it is. Probabilities of merged clusters add. `split` and
`recluster("noise")` work alike.
""",
    ),
    (
        "code",
        "edit",
        """
first = model.clusters_[0]
edited = model.merge([first["cluster"], first["nearest"]]).rename({0: "the merged ones"})
print(model.n_clusters_, "clusters before,", edited.n_clusters_, "after:", edited.cluster_names_)
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
        "outliers-text",
        """
## Is it like the data?

`score_samples` is the share of the cluster's examples that lie at least as far out: near 0 is an outlier. Negatives of
the digits are unlike all of them.
""",
    ),
    (
        "code",
        "outliers",
        """
negatives = data.images.max() - new
for name, images in (("new images", new), ("their negatives", negatives)):
    print(f"{name}: {np.mean(model.score_samples(images) < 0.05):.0%} are below 0.05")
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
jaxclust edit runs/photos edits.json --out runs/photos-named
jaxclust export runs/photos-named by-cluster
```

Sub-folders, if there are any, are taken as classes, for scores only. A few hundred images are the least for clusters
to be found by their density; below that, give their number with `n_clusters`.
""",
    ),
]
