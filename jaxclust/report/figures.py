"""All the figures of a run, as PNG files in its directory. They are drawn without labels too."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jaxclust.data import prepare
from jaxclust.data.rows import Images
from jaxclust.methods.base import Result
from jaxclust.report import grids, maps, plots, trees
from jaxclust.report.colours import DPI
from jaxclust.train import history
from jaxclust.train.programs import options
from jaxclust.trees import memberships

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxclust.typing import Key

ROWS = 20  # clusters in one picture; more go into the next one
PAGES = 5
WALKS = 12  # experts, the largest, whose latent dimensions are walked
DIMENSIONS = 10  # of each of them, the first
STEPS = np.linspace(-1.0, 1.0, 9)
SAMPLES = 12  # of each expert
RECONSTRUCTIONS = 42
PATH = 11  # images from one centroid to another, both included

Draw = Callable[[], "Figure | None"]


def draw_run(
    directory: Path,
    result: Result,
    images: Images,
    preprocess: prepare.Preprocess,
    labels: NDArray[np.integer] | None = None,
    class_names: Sequence[str] | None = None,
    key: "Key | None" = None,
) -> list[Path]:
    """Draws every figure that the result allows into `directory`/figures and returns the files written.

    images: prepared, (n, side, side, c) uint8 or (n, d) float32 features, for which the pictures of images are left
    out; labels: (n,) int classes, -1 unknown, or None; key: for the samples, which are left out without one. The
    training curves come from `directory`/history.jsonl. What `result` does not hold is left out.

    Of result.plots it reads 'explained_variance' (d,) shares, 'map' (m, 2) with 'map_index' (m,) rows (or makes one),
    'expert_map' (m, 2) with 'expert_map_index' (m,) rows (each expert's own latent space), 'ones' (K, side, side, c),
    each expert's reconstruction of an all-ones image, 'node_shares' (S, n) of a clustering tree, the part of each
    membership that the first child of a split gets, and 'node_samples' (2 S, m, side, side, c) of every node but the
    root; of result.summary 'tree', its 'splits' and 'masses', 'latent_dim', 'latent_threshold' (0.9 if absent) and
    'expert_latent_dims' (K,), whose largest is the width of decode's latent.

    A figure that fails does not keep the others from being written: when all are done, an ExceptionGroup holds what
    went wrong, each with the name of its figure.
    """
    target = Path(directory) / "figures"
    target.mkdir(parents=True, exist_ok=True)
    written, failed = [], []
    classes = labels if labels is not None and bool((np.asarray(labels) >= 0).any()) else None
    for name, draw in _figures(Path(directory), result, images, preprocess, classes, class_names, key):
        try:
            figure = draw()
            if figure is not None:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # boxes stand for them
                    figure.savefig(target / f"{name}.png", dpi=DPI)
                written.append(target / f"{name}.png")
        except Exception as error:
            error.add_note(f"while drawing {name}.png")
            failed.append(error)
    if failed:
        raise ExceptionGroup(f"{len(failed)} figures could not be drawn", failed)
    return written


def _figures(
    directory: Path,
    result: Result,
    images: Images,
    preprocess: prepare.Preprocess,
    classes: NDArray[np.integer] | None,
    class_names: Sequence[str] | None,
    key: "Key | None",
) -> Iterator[tuple[str, Draw]]:
    """Names of files, each with the function that draws it."""
    found = result.plots
    if "map" in found or len(result.embedding) >= maps.FEWEST:
        yield "map", partial(_map, directory, result, classes, class_names)
    if "expert_map" in found:
        yield "expert_maps", partial(_expert_maps, result, classes, class_names)
    if "explained_variance" in found:
        threshold = result.summary.get("latent_threshold") or 0.9
        chosen = result.summary.get("latent_dim")
        yield "explained_variance", partial(plots.explained_variance, found["explained_variance"], threshold, chosen)
    if classes is not None:
        yield "confusion", partial(plots.confusion, result.labels, classes, class_names)
    yield "training", lambda: plots.training_curves(history.read(directory))
    crop = partial(prepare.crop, preprocess) if preprocess.kind == "images" else None
    if "node_shares" in found:
        yield from _of_tree(result, images, crop, classes, class_names)
    if crop is not None:
        yield from _gallery(result, images, crop)
        yield from _generated(result, images, crop, key)


Crop = Callable[[Any], Any]


def _of_tree(
    result: Result,
    images: Images,
    crop: "Crop | None",
    classes: NDArray[np.integer] | None,
    class_names: Sequence[str] | None,
) -> Iterator[tuple[str, Draw]]:
    """Figures of a clustering tree; those with pictures where there is a `crop`."""
    kept = result.summary["tree"]
    yield "dendrogram", partial(trees.dendrogram, kept["splits"], kept["masses"])
    if crop is not None:
        member = memberships(kept["splits"], result.plots["node_shares"])
        yield "tree", partial(trees.drawn_tree, kept["splits"], member, crop(images), classes, class_names)
        yield "top", partial(grids.top, crop(images), result.probabilities)


def _gallery(result: Result, images: Images, crop: Crop) -> Iterator[tuple[str, Draw]]:
    present = np.unique(result.labels[result.labels >= 0])
    for name, clusters in _pages("gallery", present):
        yield (
            name,
            partial(grids.gallery, crop(images), result.labels, result.probabilities, clusters=clusters.tolist()),
        )


def _generated(result: Result, images: Images, crop: Crop, key: "Key | None") -> Iterator[tuple[str, Draw]]:
    """Pictures that the model makes."""
    functions = result.model.functions
    n_clusters = result.probabilities.shape[1]
    if functions.reconstruct is not None:
        yield "reconstructions", partial(_reconstructions, result, images, crop)
    if functions.sample is not None and key is not None:
        for name, clusters in _pages("samples", np.arange(n_clusters)):
            yield name, partial(_samples, result, clusters, key, crop)
    sizes = result.summary.get("expert_latent_dims")
    if functions.decode is not None and sizes is not None:
        counts = np.bincount(result.labels[result.labels >= 0], minlength=n_clusters)
        for k in np.sort(np.argsort(-counts, kind="stable")[:WALKS]).tolist():
            yield f"latent_walk_{k}", partial(_latent_walk, result, k, int(sizes[k]), int(max(sizes)), crop)
    if functions.centroids is not None and functions.decode is not None:
        yield "centroids", partial(_centroids, result, crop)
        yield "interpolations", partial(_interpolations, result, crop)
        if functions.between is not None:
            yield "interpolations_of_clusters", partial(_interpolations, result, crop, of_clusters=True)
    if "node_samples" in result.plots:
        drawn = result.plots["node_samples"]
        names = [f"s{node}" for node in range(1, len(drawn) + 1)]
        yield "node_samples", lambda: grids.node_samples([crop(of_node) for of_node in drawn], names)
    if "ones" in result.plots:
        yield "ones", lambda: grids.answers_to_ones(crop(result.plots["ones"]))


def _pages(name: str, clusters: NDArray[np.integer]) -> Iterator[tuple[str, NDArray[np.integer]]]:
    """Clusters in groups of ROWS, for files `name`, `name`_2, ..."""
    for page, start in enumerate(range(0, min(len(clusters), ROWS * PAGES), ROWS)):
        yield (name if page == 0 else f"{name}_{page + 1}"), clusters[start : start + ROWS]


def _map(
    directory: Path, result: Result, classes: NDArray[np.integer] | None, class_names: Sequence[str] | None
) -> "Figure | None":
    """The method's own map, or else the UMAP of the embedding of some random examples."""
    rows, points = maps.of_result(directory, result)
    true = None if classes is None else np.asarray(classes)[rows]
    return plots.cluster_map(points, result.labels[rows], result.noise[rows], true, class_names)


def _expert_maps(
    result: Result, classes: NDArray[np.integer] | None, class_names: Sequence[str] | None
) -> "Figure | None":
    points = np.asarray(result.plots["expert_map"])
    rows = np.asarray(result.plots.get("expert_map_index", result.plots.get("map_index", np.arange(len(points)))))
    groups = result.labels[rows]
    clusters = [int(k) for k in np.unique(groups[groups >= 0])[: ROWS * 2]]
    true = None if classes is None else [np.asarray(classes)[rows][groups == k] for k in clusters]
    return plots.expert_maps([points[groups == k] for k in clusters], clusters, true, class_names)


def _reconstructions(result: Result, images: Images, crop: Crop) -> "Figure | None":
    """The first members of every cluster in turn, so that all are seen."""
    from jaxclust.train.inference import apply_in_batches

    reconstruct = result.model.functions.reconstruct
    assert reconstruct is not None
    order = np.argsort(result.labels, kind="stable")
    ordered = result.labels[order]
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    chosen = np.lexsort((result.labels, rank))[:RECONSTRUCTIONS]
    chosen = chosen[np.argsort(result.labels[chosen], kind="stable")]
    outputs = apply_in_batches(reconstruct, result.model.arrays, images[chosen], len(chosen), together=False)
    return grids.reconstructions(crop(grids.to_uint8(images[chosen])), crop(grids.to_uint8(outputs)))


def _samples(result: Result, clusters: NDArray[np.integer], key: "Key", crop: Crop) -> "Figure | None":
    import jax
    import jax.numpy as jnp

    sample = result.model.functions.sample
    assert sample is not None
    draw = jax.jit(sample, static_argnums=2, compiler_options=options(once=True))
    drawn = [
        crop(np.asarray(draw(result.model.arrays, jax.random.fold_in(key, int(k)), SAMPLES, jnp.int32(k))))
        for k in clusters
    ]
    return grids.samples(np.stack(drawn), clusters.tolist())


def _latent_walk(result: Result, cluster: int, size: int, width: int, crop: Crop) -> "Figure | None":
    """size: active dimensions of this expert; width: of the latent that decode takes."""
    import jax
    import jax.numpy as jnp

    decode = result.model.functions.decode
    assert decode is not None
    walked = min(size, DIMENSIONS)
    latent = np.zeros((DIMENSIONS, len(STEPS), width), np.float32)  # one shape for all experts: one compilation
    for i in range(walked):
        latent[i, :, i] = STEPS
    flat = jnp.asarray(latent.reshape(-1, width))
    made = crop(
        np.asarray(jax.jit(decode, compiler_options=options(once=True))(result.model.arrays, flat, jnp.int32(cluster)))
    )
    return grids.latent_walk(made.reshape(DIMENSIONS, len(STEPS), *made.shape[1:])[:walked], STEPS, cluster)


def _decoded(result: Result, shares: NDArray[np.float32], crop: Crop, *, of_clusters: bool = False) -> NDArray[Any]:
    """Images of convex combinations (n, K) of the centroids, or of the clusters' numbers."""
    import jax
    import jax.numpy as jnp

    functions, arrays = result.model.functions, result.model.arrays
    assert functions.decode is not None
    if of_clusters:
        assert functions.between is not None
        latent = np.asarray(jax.jit(functions.between, compiler_options=options(once=True))(arrays, shares))
    else:
        assert functions.centroids is not None
        latent = shares @ np.asarray(functions.centroids(arrays))
    return crop(
        np.asarray(jax.jit(functions.decode, compiler_options=options(once=True))(arrays, latent, jnp.int32(0)))
    )


def _centroids(result: Result, crop: Crop) -> "Figure | None":
    return grids.centroids(_decoded(result, np.eye(result.probabilities.shape[1], dtype=np.float32), crop))


def _interpolations(result: Result, crop: Crop, *, of_clusters: bool = False) -> "Figure | None":
    """From each cluster's centroid to the next one's, the last one's to the first (Boubekki et al. 2021, figure 7)."""
    n_clusters = min(result.probabilities.shape[1], ROWS)
    pairs = [(k, (k + 1) % n_clusters) for k in range(n_clusters)]
    unit = np.eye(result.probabilities.shape[1], dtype=np.float32)
    way = np.linspace(0, 1, PATH, dtype=np.float32)[:, None]
    shares = np.concatenate([(1 - way) * unit[start] + way * unit[end] for start, end in pairs])
    images = _decoded(result, shares, crop, of_clusters=of_clusters)
    return grids.interpolations(images.reshape(len(pairs), PATH, *images.shape[1:]), pairs)
