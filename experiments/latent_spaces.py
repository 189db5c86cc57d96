"""Tables 4.1 to 4.17 of Santos 2020 on the data at hand: kinds of autoencoder, their codes, and first clusters of them.

    python -m experiments.latent_spaces digits usps
    python -m experiments.latent_spaces digits --tables kinds

kinds         4.1 to 4.6: reconstructions (SSIM, PSNR) and silhouettes of codes of 100 dimensions, by kind
augmentation  4.7: the silhouette of a VAE's codes without and with augmented images
dimensions    4.8, 4.13 to 4.17: the latent size that keeps 90 % of the variance of a VAE's codes, Shannon's entropy of
              the pixels, and the size that keeps 95 % of each class's
maps          4.9, 4.10: silhouettes of pixels, codes, UMAP of the codes, and Manhattan UMAP of L1-normalised codes
clusterers    4.11: HDBSCAN and a Gaussian mixture in the Manhattan map, which is told the number of classes

Autoencoders are those of preset quick, whose epochs are 10 and not 1000, and one seed where the text has five. Labels
are for the columns alone: silhouettes are those of the true classes, as in the text. Its FID needs Inception's network;
experiments/frechet.py has a distance without it.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments import configs
from jaxclust.data import prepare, sources
from jaxclust.errors import InputError
from jaxclust.host import density, latent_dim, manifold, mixtures
from jaxclust.methods.moe_vae.config import QUICK, Config, autoencoder_spec
from jaxclust.methods.shared import autoencoder
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.lengths import length, per_epoch
from jaxclust.metrics.clustering import accuracy, silhouette
from jaxclust.metrics.images import psnr, ssim
from jaxclust.nn.apply import eval_mode
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.phases import Phases
from jaxclust.train.training import TrainState, to_unit
from jaxclust.typing import Array

LATENT = 100
KINDS = {  # the text's names: settings that differ from preset quick
    "AE": {"autoencoder": "ae"},
    "VAE": {},
    "det. WAE": {"autoencoder": "wae", "wae_encoder": "deterministic"},
    "rand. WAE": {"autoencoder": "wae", "wae_encoder": "random"},
    "beta-VAE": {"autoencoder": "beta-vae"},
}
SETS = ("digits", "usps", "mnist10k", "fmnist10k")
PLAIN = {"rotation": 0.0, "zoom": 0.0, "shift": 0.0, "flip": False}


class Data(NamedTuple):
    """Prepared images (n, side, side, c), their classes (n,), and how they were prepared."""

    name: str
    images: np.ndarray
    labels: np.ndarray
    preprocess: prepare.Preprocess


class Trained(NamedTuple):
    """Codes (n, d) of all images, and what reconstructs images (m, ...) from codes (m, d), in [0, 1]."""

    codes: np.ndarray
    decode: Callable[[np.ndarray], np.ndarray]


def data_of(name: str) -> Data:
    """A data set of images with classes, as moe-vae sees it."""
    found = sources.load(configs.data_of(configs.find(f"moe_vae_{name}")))
    if found.labels is None:
        raise InputError(f"{name} has no classes: silhouettes are those of classes")
    preprocess = prepare.plan(found.images)
    return Data(name, np.asarray(prepare.apply(preprocess, found.images)), found.labels, preprocess)


def trained(data: Data, seed: int, **changes: object) -> Trained:
    """An autoencoder of preset quick with other settings, trained on all images."""
    config = dataclasses.replace(QUICK, **changes)
    key = fold_name(jax.random.key(seed), "latent-spaces")
    job: Job[Config] = Job(config, data.images, data.preprocess, key, Phases()).looked_at()
    epochs, n_steps = length(config, config.epochs, per_epoch(config, job.n))
    spec = autoencoder_spec(job.config, data.preprocess.likelihood, LATENT, n_steps)
    training = autoencoder.autoencoder(spec, job.shape)
    state = job.train("autoencoder", training, epochs)
    codes = loop.in_batches(partial(jax.jit(training.embed), state), data.images)
    decode = partial(jax.jit(partial(decoded, spec, job.shape)), state)
    return Trained(codes, partial(loop.in_batches, decode))


def decoded(spec: autoencoder.AutoencoderSpec, shape: tuple[int, ...], state: TrainState, codes: Array) -> Array:
    """Images in [0, 1] of codes (m, d)."""
    decoder = autoencoder.modules(spec, shape)[1]
    output = eval_mode(decoder, state.params[0]["decoder"], state.extra["decoder"], codes)
    return jax.nn.sigmoid(output) if spec.likelihood == "bernoulli" else output.clip(0, 1)


def kinds(data: Data, seed: int) -> list[tuple[str, ...]]:
    """Tables 4.1 to 4.6."""
    reference = np.asarray(to_unit(data.images))
    lines: list[tuple[str, ...]] = [("data", "autoencoder", "SSIM", "PSNR, dB", "silhouette")]
    for name, changes in KINDS.items():
        model = trained(data, seed, **changes)
        copies = np.asarray(model.decode(model.codes))
        quality = f"{ssim(copies, reference, 1.0):.3f}", f"{psnr(copies, reference, 1.0):.2f}"
        lines.append((data.name, name, *quality, score(model.codes, data)))
    return lines


def augmentation(data: Data, seed: int) -> list[tuple[str, ...]]:
    """Table 4.7."""
    plain, augmented = (score(trained(data, seed, **changes).codes, data) for changes in (PLAIN, {}))
    return [("data", "silhouette", "with augmented images"), (data.name, plain, augmented)]


def dimensions(data: Data, seed: int) -> list[tuple[str, ...]]:
    """Tables 4.8 and 4.13 to 4.17."""
    codes = trained(data, seed).codes
    size = latent_dim.fewest(latent_dim.explained_variance(codes), 0.90)
    by_class = latent_dim.cluster_latent_dims(codes, data.labels, int(data.labels.max()) + 1, 0.95)
    shape = (f"{entropy(data.images):.3f}", str(data.images[0].size), str(len(codes)))
    header = ("data", "latent size, 90 %", "entropy, bits", "numbers an image", "images", "by class, 95 %")
    return [header, (data.name, str(size), *shape, " ".join(map(str, by_class)))]


def maps(data: Data, seed: int) -> list[tuple[str, ...]]:
    """Tables 4.9 and 4.10; maps have as many dimensions as the latent size that keeps 90 % of the variance."""
    codes = trained(data, seed).codes
    size = latent_dim.fewest(latent_dim.explained_variance(codes), 0.90)
    euclidean, manhattan = manifold.umap(codes, size, seed), of_text(codes, size, seed)
    spaces = (data.images.reshape(len(codes), -1), codes, euclidean, manhattan)
    header = ("data", "pixels", "codes", "UMAP of the codes", "Manhattan UMAP, L1")
    return [header, (data.name, *(score(space, data) for space in spaces))]


def clusterers(data: Data, seed: int) -> list[tuple[str, ...]]:
    """Table 4.11: min_cluster_size n // 50, leaves."""
    codes, n = trained(data, seed).codes, len(data.images)
    map = of_text(codes, latent_dim.fewest(latent_dim.explained_variance(codes), 0.90), seed)
    labels = density.labels(map, n // 50, "manhattan")
    mixture = mixtures.gaussian_clusters([map], int(data.labels.max()) + 1, seed).labels
    known = labels >= 0
    shares = (known.mean(), accuracy(labels[known], data.labels[known]), accuracy(labels, data.labels))
    header = ("data", "clusters", "labelled", "ACC, labelled", "ACC, all", "ACC, mixture")
    cells = [f"{value:.3f}" for value in (*shares, accuracy(mixture, data.labels))]
    return [header, (data.name, str(labels.max() + 1), *cells)]


def of_text(codes: np.ndarray, n_components: int, seed: int) -> np.ndarray:
    """The text's map: L1-normalised codes, Manhattan distances."""
    return manifold.umap(manifold.l1_normalise(codes), n_components, seed, "manhattan")


def score(space: np.ndarray, data: Data) -> str:
    """The silhouette of the true classes."""
    return f"{silhouette(space, data.labels):.3f}"


def entropy(images: np.ndarray) -> float:
    """Shannon's entropy of the 256 levels of all pixels, in bits."""
    levels = images if images.dtype == np.uint8 else np.rint(255 * images).astype(np.uint8)
    shares = np.bincount(levels.reshape(-1), minlength=256) / levels.size
    return float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())


TABLES = {
    "kinds": kinds,
    "augmentation": augmentation,
    "dimensions": dimensions,
    "maps": maps,
    "clusterers": clusterers,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.latent_spaces", description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", choices=SETS, metavar="DATA", help=f"of {', '.join(SETS)}")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    try:
        sets = [data_of(name) for name in options.data]
        for table in options.tables:
            print(f"\n{table}\n", flush=True)
            for i, data in enumerate(sets):
                header, *lines = TABLES[table](data, options.seed)
                for cells in [*([header, ("---",) * len(header)] if i == 0 else []), *lines]:
                    print(f"| {' | '.join(cells)} |", flush=True)
    except InputError as error:
        print(f"experiments.latent_spaces: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
