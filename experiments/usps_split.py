"""How much harder USPS's test split is than its training split: `python -m experiments.usps_split`.

The manager's network of the preset quick, trained with the true labels of the training split (by default for as many
epochs as manager and mixture have together), labels both. What such a network loses between the two, no clustering that
predicts with it can be asked to keep.
"""

import argparse
import sys
from collections.abc import Sequence

import jax
import numpy as np

from experiments import configs
from jaxclust.data import prepare, sources
from jaxclust.data.dataset import TRAIN
from jaxclust.errors import InputError
from jaxclust.methods.moe_vae.config import QUICK, classifier_spec
from jaxclust.methods.shared import classifier
from jaxclust.train import loop
from jaxclust.train.phases import Phases


def supervised(seed: int, epochs: float) -> tuple[float, float]:
    """Accuracies on the training and on the test split. Raises InputError for data without labels or split."""
    data = sources.load(configs.data_of(configs.find("moe_vae_usps_train")))
    if data.labels is None or data.split is None:
        raise InputError(f"{data.name}: has no labels or no split: give a file with both")
    train = data.split == TRAIN
    preprocess = prepare.plan(data.images[train])
    images = prepare.apply(preprocess, data.images)
    n_steps = loop.total_steps(epochs, -(-int(train.sum()) // QUICK.batch_size))
    spec = classifier_spec(QUICK, 10, n_steps)
    training = classifier.classifier(spec, np.eye(10, dtype=np.float32)[data.labels[train]])
    key = jax.random.key(seed)
    state = Phases().train("labels", training, images[train], key=key, epochs=epochs, batch_size=QUICK.batch_size)
    posterior = jax.jit(training.log_posterior)
    right = loop.in_batches(lambda rows: posterior(state, rows), images).argmax(1) == data.labels
    return float(right[train].mean()), float(right[~train].mean())


def main(argv: Sequence[str] | None = None) -> int:
    """Print both accuracies and their difference for each seed; 2 where the data are missing or have no split."""
    parser = argparse.ArgumentParser(prog="python -m experiments.usps_split", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=QUICK.manager_epochs + QUICK.mixture_epochs)
    options = parser.parse_args(argv)
    try:
        for seed in options.seeds:
            train, test = supervised(seed, options.epochs)
            apart = f"{100 * (train - test):.1f} points apart"
            print(f"seed {seed}: training split {train:.4f}, test split {test:.4f}, {apart}", flush=True)
    except InputError as error:
        print(f"experiments.usps_split: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
