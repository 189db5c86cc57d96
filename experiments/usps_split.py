"""How much harder USPS's test split is than its training split: `python -m experiments.usps_split`.

The manager's network of the preset quick, trained with the true labels of the training split, labels both. What such a
network loses between the two, no clustering that predicts with it can be asked to keep.
"""

import argparse

import jax
import numpy as np

from experiments import configs
from jaxclust.data import prepare, sources
from jaxclust.data.dataset import TRAIN
from jaxclust.methods.parts import classifier
from jaxclust.methods.parts.moe_vae_config import QUICK, classifier_spec
from jaxclust.train import loop
from jaxclust.train.phases import Phases


def supervised(seed: int, epochs: float = QUICK.manager_epochs + QUICK.mixture_epochs) -> tuple[float, float]:
    """Accuracies on the training and on the test split, after as many epochs as manager and mixture have together."""
    data = sources.load(configs.data_of(configs.find("moe_vae_usps_train")))
    assert data.labels is not None
    assert data.split is not None
    train = data.split == TRAIN
    preprocess = prepare.plan(data.images[train])
    images = prepare.apply(preprocess, data.images)
    n_steps = loop.total_steps(epochs, -(-int(train.sum()) // QUICK.batch_size))
    spec = classifier_spec(QUICK, preprocess.likelihood, 10, n_steps)
    method = classifier.classifier(spec, np.eye(10, dtype=np.float32)[data.labels[train]])
    key = jax.random.key(seed)
    state = Phases().train("labels", method, images[train], key=key, epochs=epochs, batch_size=QUICK.batch_size)
    posterior = jax.jit(method.log_posterior)
    right = loop.in_batches(lambda rows: posterior(state, rows), images).argmax(1) == data.labels
    return float(right[train].mean()), float(right[~train].mean())


def main() -> None:
    """Print both accuracies and their difference for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    for seed in parser.parse_args().seeds:
        train, test = supervised(seed)
        apart = f"{100 * (train - test):.1f} points apart"
        print(f"seed {seed}: training split {train:.4f}, test split {test:.4f}, {apart}")


if __name__ == "__main__":
    main()
