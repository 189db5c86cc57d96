"""Trains small networks on several meshes of eight simulated devices and prints how far each is from one device.

Run by devices_test.py, in a process of its own: the number of devices is fixed when JAX starts.
"""

import json
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.shared import autoencoder, classifier, experts
from jaxclust.train import loop, mesh
from jaxclust.train.augment import NONE
from jaxclust.train.batches import Batches, grouped, shuffled
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch, Training

K, STEPS = 4, 32
SGD, ADAM = lambda *_: optax.sgd(0.01), lambda *_: optax.adam(1e-3)
ROWS = np.random.default_rng(0)
IMAGES = ROWS.integers(0, 256, (50, 8, 8, 1)).astype(np.uint8)
FEATURES = ROWS.normal(size=(50, 6)).astype(np.float32)


class Case(NamedTuple):
    """A training, and the meshes (devices, of them over `expert`) that it is to be the same on."""

    training: Training
    data: np.ndarray
    batches: Batches
    meshes: list[tuple[int, int]]


def cases(optimiser):
    """18 examples a batch: eight devices cannot share them equally. SGD shows a factor that Adam hides.

    Adam has a state of its own, which stage two shares out as it does the experts.
    """
    autoencoder.adam = mixture.adam = optimiser
    for training in (autoencoder.autoencoder, mixture.stage_one, mixture.stage_two):
        training.cache_clear()
    shape, order = IMAGES.shape[1:], shuffled(50, 18, 0)
    code = autoencoder.AutoencoderSpec(latent_dim=3, width=0.5, min_filters=4, ramp_steps=4, augmentation=NONE)
    if optimiser is SGD:
        yield "autoencoder", Case(autoencoder.autoencoder(code, shape), IMAGES, order, [(8, 1)])
    manager = classifier.ClassifierSpec(K, width=0.1)
    of_experts = experts.ExpertsSpec((2,) * K, "gaussian", width=0.1, form="native")
    spec = mixture.MixtureSpec(of_experts, manager, alpha=1.0, top_experts=K)
    shape, groups = FEATURES.shape[1:], grouped(np.arange(50) % K, K, 12, 0)
    if optimiser is SGD:
        yield "stage one", Case(mixture.stage_one(spec, shape), FEATURES, order, [(4, 4), (8, 2)])
        # every part of an even batch is full, so that an expert has as much room on each mesh
        routed = mixture.stage_one(spec._replace(top_experts=2), shape)
        yield "routed", Case(routed, FEATURES, shuffled(48, 16, 0), [(8, 2)])
    meshes = [(8, 4), (8, 8)]  # eight do not divide K
    yield "stage two", Case(mixture.stage_two(spec, shape), FEATURES, groups, meshes)


def train(case, count, expert=1):
    """Losses and parameters after STEPS steps on `count` devices."""
    terms = []
    state = loop.run(
        case.training.step,
        start(case),
        case.data,
        case.batches,
        STEPS,
        on_chunk=lambda done: terms.append(done.terms),
        mesh=mesh.make_mesh(jax.devices()[:count], expert),
        stacked=case.training.stacked,
    )
    return [terms, jax.tree.map(np.asarray, state.params)]


def start(case):
    return initial(case.training, jax.random.key(0), (case.batches.size, *case.data.shape[1:]))


def distance(a, b):
    """The largest difference of two trees, relative to the largest number of each leaf."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.max(np.abs(x - y)) / max(np.max(np.abs(y)), 1e-3)) for x, y in pairs)


def local_statistics(case):
    """As `train` on eight devices, but each with the batch statistics of its own shard: the control."""
    split, same = PartitionSpec("data"), PartitionSpec()

    def step(state, batch):
        moved, terms = case.training.step(state, batch)
        params, extra, terms = jax.lax.pmean((moved.params, moved.extra, terms), "data")
        return moved._replace(params=params, extra=extra), terms

    options = {"mesh": mesh.make_mesh(), "in_specs": (same, split), "out_specs": (same, same), "check_vma": False}
    step, state = jax.jit(jax.shard_map(step, **options)), start(case)
    for i in range(STEPS):
        index, weight = (jnp.asarray(a[0]) for a in case.batches.indices(i, 1))
        state, _ = step(state, Batch(jnp.asarray(case.data)[index], index, weight))
    return jax.tree.map(np.asarray, state.params)


def main():
    found = {}
    for optimiser, make in (("sgd", SGD), ("adam", ADAM)):
        for name, case in cases(make):
            one = train(case, 1)
            for count, expert in case.meshes:
                label = f"{name}, {optimiser}, {count // expert} x {expert}"
                found[label] = distance(train(case, count, expert), one)
            if name == "autoencoder" and optimiser == "sgd":
                even = case._replace(batches=shuffled(48, 16, 0))
                found["control"] = distance(local_statistics(even), train(even, 1)[1])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
