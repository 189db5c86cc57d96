"""The barcode that fast_hdbscan 0.3 finds in a condensed tree: `python -m tests.saved.plscan` makes plscan.npz.

fast_hdbscan compiles for a minute, and is no dependency: pip install fast_hdbscan.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".npz")
SEEDS, SIZE = range(3), 5  # of clusters, at least


def points(seed=0, k=6, each=30, noise=20):
    """Blobs in the plane among even noise: (k each + noise, 2)."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-6, 6, (k, 2))
    inside = np.repeat(centres, each, 0) + rng.normal(0, 0.6, (k * each, 2))
    return np.concatenate([inside, rng.uniform(-8, 8, (noise, 2))])


def barcode(seed):
    """hdbscan's condensed tree of the points, and births, deaths and parents of its leaves by fast_hdbscan."""
    from fast_hdbscan.cluster_trees import CondensedTree
    from fast_hdbscan.layer_clusters import min_cluster_size_barcode
    from hdbscan import HDBSCAN

    x = points(seed)
    model = HDBSCAN(min_cluster_size=SIZE, min_samples=5, approx_min_span_tree=False, core_dist_n_jobs=1).fit(x)
    raw = model.condensed_tree_.to_numpy()
    rows = np.sort(raw[raw["child"] >= len(x)], order="child")
    tree = CondensedTree(*(np.ascontiguousarray(rows[name]) for name in raw.dtype.names))
    births, deaths, parents, _ = min_cluster_size_barcode(tree, len(x), SIZE)
    return {f"tree-{seed}": raw, f"births-{seed}": births, f"deaths-{seed}": deaths, f"parents-{seed}": parents}


if __name__ == "__main__":
    np.savez(FILE, **{name: array for seed in SEEDS for name, array in barcode(seed).items()})
