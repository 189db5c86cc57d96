"""The training steps of all methods, at the sizes at which the benchmarks compile and measure them: one registry.

A step here is a description. Nothing is allocated: shapes of its state come from jax.eval_shape.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.errors import InputError
from jaxclust.methods import find
from jaxclust.methods.clustering_module.config import AEConfig
from jaxclust.methods.clustering_module.training import Length, ae_clustering_module
from jaxclust.methods.hc_mgan.config import Config as HCMGANConfig
from jaxclust.methods.hc_mgan.fit import training
from jaxclust.methods.hc_mgan.slots import Start
from jaxclust.methods.hrwae_gan.config import Config as HRWAEConfig
from jaxclust.methods.hrwae_gan.training import hrwae_gan
from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.moe_vae.config import Config, autoencoder_spec, classifier_spec, mixture_spec
from jaxclust.methods.shared import autoencoder, classifier
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.population import population
from jaxclust.methods.vc.config import Config as VCConfig
from jaxclust.methods.vc.model import Networks
from jaxclust.methods.vc.training import Schedules, variational_clustering
from jaxclust.train.training import Training, TrainState
from jaxclust.typing import Key, PyTree

IMAGES = 70_000  # rows of the data set that lies on the device: MNIST's and Fashion-MNIST's
CLUSTERS = 10
SLOTS = 4  # leaves that hc-mgan splits at a time
LATENT = 32  # of the autoencoder and of every expert
N_STEPS = 10_000  # of the whole training: only the ramps and schedules ask


class Step(NamedTuple):
    """One training step.

    name:    'autoencoder-32': the training, then the side of its images.
    side:    of its images, (side, side, 1) uint8.
    batch:   examples in one batch, over all devices and experts.
    experts: networks stacked on a leading axis of the state's leaves; 1 for a network on its own.
    build:   config -> Training. Config has the fields `precision` and `form`.
    config:  the settings, of moe-vae, ae-cm, vc, hrwae-gan or hc-mgan.
    zeros:   what the arithmetic of a GPU program is multiplied by because XLA writes zeros between the taps of some
             gradients and counts them: of 13 passes through hc-mgan's features 5 are gradients of 5 x 5 convolutions of
             stride 2 with regard to their input, (7 / 4)^2 times as long.
    most_float32: the largest share of the multiply-adds that heads and outputs, which are float32, may have; beside
             narrow layers it is more.
    """

    name: str
    side: int
    batch: int
    experts: int
    build: Callable[[Any, tuple[int, ...]], Training]
    config: Any
    zeros: float = 1.0
    most_float32: float = 0.05

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return (self.side, self.side, 1)

    def training(self) -> Training:
        """The training itself."""
        return self.build(self.config, self.shape)

    def state(self) -> PyTree:
        """Shapes and types of its state: a TrainState of jax.ShapeDtypeStruct."""
        init = self.training().init
        return jax.eval_shape(lambda key: init(key, (self.batch, *self.shape)), jax.random.key(0))

    def with_batch(self, batch: int) -> "Step":
        """The same step on another number of examples."""
        return self._replace(batch=batch)

    def in_precision(self, precision: str) -> "Step":
        """The same step with another compute type, 'float32' or 'bfloat16'."""
        return self._replace(config=replace(self.config, precision=precision))


def _autoencoder(config: Config, shape: tuple[int, ...]) -> Training:
    return autoencoder.autoencoder(autoencoder_spec(config, "bernoulli", LATENT, N_STEPS), shape)


def _manager(config: Config, shape: tuple[int, ...]) -> Training:
    targets = np.broadcast_to(np.float32(1 / CLUSTERS), (IMAGES, CLUSTERS))
    return classifier.classifier(classifier_spec(config, CLUSTERS, N_STEPS), targets)


def _stage_one(config: Config, shape: tuple[int, ...]) -> Training:
    return mixture.stage_one(mixture_spec(config, "bernoulli", np.full(CLUSTERS, LATENT), N_STEPS), shape)


def _stage_two(config: Config, shape: tuple[int, ...]) -> Training:
    return mixture.stage_two(mixture_spec(config, "bernoulli", np.full(CLUSTERS, LATENT), N_STEPS), shape)


def _ae_cm(config: AEConfig, shape: tuple[int, ...]) -> Training:
    pair = coders(config, Extent(shape, *shape[:2]))
    one = ae_clustering_module(config, CLUSTERS, Length(N_STEPS, 1), pair)
    return population(one, config.restarts, pair.size)


def _vc(config: VCConfig, shape: tuple[int, ...]) -> Training:
    nets = Networks(config, CLUSTERS, Extent(shape, *shape[:2]), "bernoulli")
    schedules = Schedules(
        (config.reconstruction_weights, ()), (config.consistency_weights, (N_STEPS // 4, N_STEPS // 2))
    )
    return variational_clustering(config, CLUSTERS, nets, schedules)


def _hrwae_gan(config: HRWAEConfig, shape: tuple[int, ...]) -> Training:
    return hrwae_gan(config, shape, "bernoulli", N_STEPS)


def _hc_mgan(refine: bool, config: HCMGANConfig, shape: tuple[int, ...]) -> Training:
    several = training(config, shape, SLOTS, refine)
    groups = several.groups

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        cdf = jnp.ones((SLOTS, groups, IMAGES))
        return several.begin(key, Start(jax.random.split(key, SLOTS), cdf, jnp.full(SLOTS, N_STEPS)))

    return several.training._replace(init=init)


def full(method: str, **changes: Any) -> Any:
    """A method's preset full, in the compute type and the convolutions of an accelerator. The platform is never asked:
    it is the compiling machine's."""
    return replace(find(method).presets["full"], precision="bfloat16", form="native", **changes)


MOE_VAE = full("moe-vae")
HC_MGAN = full("hc-mgan", concurrent=SLOTS)

STEPS = (
    Step("autoencoder-32", 32, 1024, 1, _autoencoder, MOE_VAE),
    Step("manager-32", 32, 1024, 1, _manager, MOE_VAE),
    Step("mixture-dense-32", 32, 256, CLUSTERS, _stage_one, replace(MOE_VAE, top_experts="all")),
    Step("mixture-routed-32", 32, 256, CLUSTERS, _stage_one, MOE_VAE),
    Step("experts-32", 32, 256 * CLUSTERS, CLUSTERS, _stage_two, MOE_VAE, most_float32=0.3),
    Step("experts-16", 16, 256 * CLUSTERS, CLUSTERS, _stage_two, MOE_VAE, most_float32=0.15),
    Step("ae-cm-32", 32, 1024, 1, _ae_cm, full("ae-cm", n_clusters=CLUSTERS)),
    Step("ae-cm-dense-32", 32, 1024, 1, _ae_cm, full("ae-cm", n_clusters=CLUSTERS, network="mlp"), most_float32=0.15),
    Step("vc-32", 32, 512, 1, _vc, full("vc")),
    Step("hrwae-gan-32", 32, 1024, 1, _hrwae_gan, full("hrwae-gan")),
    Step("hc-mgan-raw-32", 32, 100 * SLOTS, SLOTS, partial(_hc_mgan, False), HC_MGAN, 1.8),
    Step("hc-mgan-refinement-32", 32, 200 * SLOTS, SLOTS, partial(_hc_mgan, True), HC_MGAN, 1.8),
)


def step_of(name: str) -> Step:
    """The step called so. Raises InputError where there is none."""
    for step in STEPS:
        if step.name == name:
            return step
    raise InputError(f"step {name!r} is unknown: choose one of {', '.join(step.name for step in STEPS)}")
