"""A run directory: made, refused, resumed, saved, loaded.

config.json      what was asked for, defaults included, and what it ran on; "state" says how it ended
metrics.json     scores, latent sizes, seconds        assignments.csv    one line an example, its file or name last
clusters.csv     one line a cluster
skipped.csv      what was left out, and why, if anything
embedding.npy    (n, d) float32                       probabilities.npy  (n, K) float32
levels.npz       labels (n,) by number of clusters, coarser and finer ones of the same tree
history.jsonl    training curves                      figures/*.png
map.npz          (m, 2) coordinates of some rows      report.html      the page
model/           model.json and arrays/               phases/            work in progress, gone on completion
"""

from jaxclust.runs.artefacts import (
    ERRORS,
    SKIPPED,
    cluster_names,
    load,
    load_assignments,
    preprocess_of,
    print_table,
    read_clusters,
    read_levels,
    save,
    title_of_names,
    write_table,
)
from jaxclust.runs.fitting import Draw, describe, fit, follow

__all__ = [
    "ERRORS",
    "SKIPPED",
    "Draw",
    "cluster_names",
    "describe",
    "fit",
    "follow",
    "load",
    "load_assignments",
    "preprocess_of",
    "print_table",
    "read_clusters",
    "read_levels",
    "save",
    "title_of_names",
    "write_table",
]
