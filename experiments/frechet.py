"""Images drawn from hrwae-gan with one latent group and with more, as figures 4 and 5 of Morais 2021 compare them.

    python -m experiments.run hrwae_gan_usps_l1 hrwae_gan_usps_l2 && python -m experiments.frechet usps

Reads the complete runs of the rows hrwae_gan_DATA_l1, _l2 and _l3. frechet_vae is the Fréchet distance between features
of images drawn from the prior and of all images: means of the codes of a VAE that is trained on these images for it, so
it is no FID (whose features are Inception's) and only compares rows of one table. 'floor' is the distance of one half
of the images to the other, 'reconstructed' that of the reconstructions. Draws experiments/figures/hrwae_gan_DATA.png:
images, reconstructions and draws of the first seed.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np

from experiments import configs
from experiments.table import complete_runs, spread
from jaxclust import models, runs
from jaxclust.data import prepare, sources
from jaxclust.errors import InputError
from jaxclust.methods.shared.autoencoder import AutoencoderSpec, autoencoder
from jaxclust.metrics.images import frechet_distance
from jaxclust.report import grids
from jaxclust.train import loop
from jaxclust.train.batches import shuffled
from jaxclust.train.phases import initial

DRAWN, SHOWN = 5000, 12
FIGURES = Path(__file__).parent / "figures"
SPEC = AutoencoderSpec(latent_dim=32, width=0.5, min_filters=32, learning_rate=2e-3, kl_weight=0.1)
HEADER = ("data", "groups", "n seeds", "frechet_vae of draws", "reconstructed", "squared error a pixel", "floor")

Features = Callable[[np.ndarray], np.ndarray]


def features(images: np.ndarray, likelihood: str, epochs: float = 10, seed: int = 0) -> Features:
    """Means of the codes, (m, 32), of prepared images (m, ...), by a VAE that learns prepared images (n, ...)."""
    method = autoencoder(SPEC._replace(likelihood=likelihood), images.shape[1:])
    batches = shuffled(len(images), 100, seed)
    state = initial(method, jax.random.key(seed), (batches.size, *images.shape[1:]))
    state = loop.run(method.step, state, images, batches, loop.total_steps(epochs, batches.per_epoch))
    return partial(loop.in_batches, partial(jax.jit(method.embed), state))


def lines(name: str, data: str) -> tuple[list[list[str]], list[np.ndarray]]:
    """A line for each number of groups that was run; rows of pictures: images, then reconstructions and draws."""
    raw = np.asarray(sources.load(data).images)
    preprocess = prepare.plan(raw)
    images = np.asarray(prepare.apply(preprocess, raw))
    embed = features(images, preprocess.likelihood)
    ours, order = embed(images), np.random.default_rng(0).permutation(len(images))
    floor = frechet_distance(*(ours[half] for half in np.array_split(order, 2)))
    found, pictures = [], [raw[:SHOWN] / np.float32(255)]
    for groups in (1, 2, 3):
        row = next((row for row in configs.of("hrwae_gan") if row.name == f"hrwae_gan_{name}_l{groups}"), None)
        seeds = [] if row is None else list(complete_runs(row, configs.OUT)[0])
        of_draws, of_copies, errors = [], [], []
        for seed in seeds:
            fitted = runs.load(configs.OUT / f"hrwae_gan_{name}_l{groups}" / str(seed))
            drawn, copies = models.sample(fitted, DRAWN, None, seed), models.reconstruct(fitted, raw)
            of_draws.append(frechet_distance(embed(np.asarray(prepare.apply(preprocess, as_bytes(drawn)))), ours))
            of_copies.append(frechet_distance(embed(np.asarray(prepare.apply(preprocess, as_bytes(copies)))), ours))
            errors.append(float(((copies - raw / np.float32(255)) ** 2).mean()))
            if seed == seeds[0]:
                pictures += [copies[:SHOWN], drawn[:SHOWN]]
        if seeds:
            values = (spread(of_draws, "{:.2f}".format), spread(of_copies, "{:.2f}".format))
            found.append([name, str(groups), str(len(seeds)), *values, spread(errors, "{:.4f}".format), f"{floor:.2f}"])
    return found, pictures


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as uint8."""
    return np.rint(images * 255).astype(np.uint8)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.frechet", description=__doc__.splitlines()[0])
    parser.add_argument("name", metavar="DATA", help="usps, mnist10k or fmnist10k")
    options = parser.parse_args(argv)
    try:
        row = configs.find(f"hrwae_gan_{options.name}_l1")
        found, pictures = lines(options.name, configs.data_of(row))
        if not found:
            raise InputError(
                f"no complete runs of hrwae_gan_{options.name}: python -m experiments.run {row.name} first"
            )
    except InputError as error:
        print(f"experiments.frechet: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(f"| {' | '.join(cells)} |" for cells in [HEADER, ["---"] * len(HEADER), *found]))
    grids.save_grid(FIGURES / f"hrwae_gan_{options.name}.png", np.concatenate(pictures), SHOWN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
