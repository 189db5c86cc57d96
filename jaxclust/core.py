"""The functional core: trainings as pure functions, and what runs them. For methods that the library does not have.

A `Training` is four pure functions of arrays, `init`, `step`, `embed` and `log_posterior`. You can `jit`, `vmap` and
combine them in other ways. `run` is the compiled loop around a step.

    trainings    autoencoder(AutoencoderSpec, shape)                   VAE, AE, WAE or WAE-GAN of images or features
                 classifier(ClassifierSpec, targets)                   learns targets (n, K), rows sum to one
                 clustering_module(ModuleConfig, K, d, Length, None)   of vectors (n, d), Boubekki et al. 2021
                 hrwae_gan(HRWAEConfig, shape, likelihood, n_steps)    hierarchical autoencoder, Morais 2021
    batches      shuffled(n, size, seed)                               every example once an epoch, in another order
                 total_steps(epochs, per_epoch)
    start        initial(training, key, batch_shape) -> state          init as one program, not operation by operation
    loop         run(training, state, images, batches, n_steps) -> state
    clusters     find_clusters({"codes": codes}, "auto", seed) -> Found: labels, memberships, how clear they are
"""

import jax
import numpy as np

from jaxclust.host.clusters import Found
from jaxclust.host.clusters import find as find_clusters
from jaxclust.methods.clustering_module.config import Config as ModuleConfig
from jaxclust.methods.clustering_module.training import Length, clustering_module
from jaxclust.methods.hrwae_gan.config import Config as HRWAEConfig
from jaxclust.methods.hrwae_gan.training import hrwae_gan
from jaxclust.methods.shared.autoencoder import AutoencoderSpec, autoencoder
from jaxclust.methods.shared.classifier import ClassifierSpec, classifier
from jaxclust.train import loop
from jaxclust.train.batches import Batches, shuffled
from jaxclust.train.loop import total_steps
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, step_key
from jaxclust.typing import Array

__all__ = [
    "AutoencoderSpec",
    "Batch",
    "Batches",
    "ClassifierSpec",
    "Found",
    "HRWAEConfig",
    "Length",
    "ModuleConfig",
    "TrainState",
    "Training",
    "advance",
    "autoencoder",
    "classifier",
    "clustering_module",
    "find_clusters",
    "hrwae_gan",
    "initial",
    "new_state",
    "run",
    "shuffled",
    "step_key",
    "total_steps",
]


def run(
    training: Training, state: TrainState, images: np.ndarray | Array, batches: Batches, n_steps: int
) -> TrainState:
    """The state after `n_steps` steps, in a compiled loop over examples (n, ...), batches spread over all devices.

    The state that is given stays as it is. Raises Diverged where a term of the loss is not finite.
    """
    own = jax.tree.map(lambda leaf: leaf.copy(), state)  # the loop takes its state's memory
    return loop.run(
        training.step, own, images, batches, n_steps, stacked=training.stacked, choose_rows=training.choose_rows
    )
