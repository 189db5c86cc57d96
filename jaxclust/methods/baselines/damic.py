"""Deep autoencoder mixture clustering (damic): one a cluster, and a network that chooses (Chazan et al. 2019).

    x_t            an example                     p(c_t = i|x_t)   the clustering network, a softmax over K
    f_i(x_t)       its image by autoencoder i     d                squared error, summed over pixels

    L = -sum_t log sum_i p(c_t = i|x_t) exp(-d(x_t, f_i(x_t)))

No entropies: every autoencoder sees every image, and each is pulled by its share of it, p exp(-d) normalised over i.
Computed in log space as -logsumexp_i(log p - d), and averaged over the batch.

Start (the method depends on it):
  1 an autoencoder of all data, and k-means of its codes      'autoencoder', 'centroids', as in dec and dcn
  2 the clustering network learns k-means' labels             'clustering-network'
  3 each autoencoder learns the images of its own cluster     'experts'
and then all are trained together, 'joint'.

The label is the clustering network's largest p, as the abstract has it (the network 'selects one of the clusters', and
the autoencoder of that cluster reconstructs); the autoencoder of the smallest d is the opinion 'reconstruction'.

Only the abstract, the loss and the order of the start were at hand, so these are ours: dense autoencoders
(`expert_hidden`) as of this library's other baselines, a clustering network that is convolutional for images (its size:
`width`, `min_filters`), Adam at one constant rate in all phases, and their lengths. The embedding is the code of the
autoencoder of step 1. With network 'conv' batch statistics of an autoencoder are those of its cluster in step 3, and of
all images afterwards.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxclust.methods.base import Functions, Method, Model, Result, presets
from jaxclust.methods.baselines.centroids import CodeConfig, kmeans, pretrained
from jaxclust.methods.shared import classifier, experts
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.experts import ExpertBatch, Passed
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.outcome import outcome
from jaxclust.nn.apply import compute_type, init, train_mode
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.augment import augment_step
from jaxclust.train.batches import grouped
from jaxclust.train.programs import options
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, to_unit
from jaxclust.typing import Array, Key, PyTree


@dataclass(frozen=True)
class Config(CodeConfig):
    """Settings of damic."""

    expert_hidden: tuple[int, ...] = (500, 500, 2000)
    """mlp: widths of the hidden layers of each cluster's autoencoder."""
    classifier_epochs: float = 100
    """Epochs of the clustering network alone."""
    expert_epochs: float = 100
    """Epochs of the clusters' autoencoders alone, each on its own images."""
    epochs: float = 300
    """Epochs of all networks together."""


def negative_log_likelihood(log_p: Array, errors: Array) -> Array:
    """-log sum_i p_i exp(-d_i): log p (b, K), d (b, K) summed over pixels -> (b,)."""
    return -jax.nn.logsumexp(log_p - errors, -1)


def of_classifier(config: Config, n_clusters: int) -> classifier.ClassifierSpec:
    """The clustering network."""
    return classifier.ClassifierSpec(
        n_clusters,
        width=config.width,
        min_filters=config.min_filters,
        learning_rate=config.learning_rate,
        augmentation=config.ranges(),
        form=config.form,
        dtype=compute_type(config.precision),
    )


def joint(config: Config, extent: Extent) -> Training:
    """All networks together. params, extra: 'network', and 'experts' with a leading axis K."""
    spec, shape = experts.plain(config, extent, config.expert_hidden, config.n_clusters)
    network, pair = classifier.module(of_classifier(config, config.n_clusters)), coders(config, extent)
    adam = optax.adam(config.learning_rate)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = {}, {}
        params["network"], stats["network"] = init(network, fold_name(key, "network"), jnp.zeros(batch_shape))
        params["experts"], stats["experts"] = experts.init_experts(spec, shape, fold_name(key, "experts"))
        return new_state(params, adam, stats, key)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        image = augment_step(state, to_unit(batch.image), config.ranges(), config.form)
        rows = ExpertBatch(pair.random(state, batch.image), pair.target(batch.image), batch.weight)

        def loss(params: PyTree, passed: Passed) -> tuple[Array, PyTree]:
            logits, stats = train_mode(network, params, state.extra["network"], image, batch.weight)
            log_p = jax.nn.log_softmax(logits)
            return weighted_mean(negative_log_likelihood(log_p, passed.reconstruction.T), batch.weight), stats

        def weigh(passed: Passed) -> tuple[Passed, Any]:
            told, (of_network, wanted) = jax.value_and_grad(loss, (0, 1), True)(state.params["network"], passed)
            return wanted, (told, of_network)

        ((value, stats), of_network), of_experts, expert_stats = experts.pass_all(
            spec, shape, state.params["experts"], state.extra["experts"], rows, weigh
        )
        grads, extra = {"network": of_network, "experts": of_experts}, {"network": stats, "experts": expert_stats}
        return advance(state, grads, adam, extra), {"loss": value}

    return Training(start, step, stacked=experts.stacked)


def alone(config: Config, extent: Extent) -> Training:
    """Each autoencoder on the images of its own cluster; batches are of train.batches.grouped: clusters take turns.

    params, extra: 'experts' with a leading axis K.
    """
    spec, shape = experts.plain(config, extent, config.expert_hidden, config.n_clusters)
    pair, adam = coders(config, extent), optax.adam(config.learning_rate)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = experts.init_experts(spec, shape, fold_name(key, "experts"))
        return new_state({"experts": params}, adam, {"experts": stats}, key)

    def loss(params: PyTree, stats: PyTree, rows: ExpertBatch) -> tuple[Array, PyTree]:
        passed, new_stats = experts.pass_rows(spec, shape, params, stats, rows)
        return weighted_mean(passed.reconstruction, rows.taken), new_stats

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        whole = (pair.random(state, batch.image), pair.target(batch.image), batch.weight)
        own = (part.reshape(-1, config.n_clusters, *part.shape[1:]).swapaxes(0, 1) for part in whole)
        function = experts.over_experts(spec, shape, jax.value_and_grad(loss, has_aux=True))
        (values, stats), grads = function(state.params["experts"], state.extra["experts"], ExpertBatch(*own))
        return advance(state, {"experts": grads}, adam, {"experts": stats}), {"reconstruction": values.mean()}

    return Training(start, step, stacked=experts.stacked)


def fit(job: Job[Config]) -> Result:
    """Phases: 'autoencoder', 'centroids' on the host, 'clustering-network', 'experts', 'joint'."""
    config, k = job.config, job.config.n_clusters
    before = pretrained(job, coders(config, job.extent))
    _, labels = kmeans(job, before.codes)
    first = classifier.classifier(of_classifier(config, k), np.eye(k, dtype=np.float32)[labels])
    network = classifier.arrays_of(job.train("clustering-network", first, config.classifier_epochs))
    batches = grouped(labels, k, -(-config.batch_size // k), job.seed("experts"))
    own = job.train("experts", alone(config, job.extent), config.expert_epochs, batches=batches)

    params = {"network": network["params"], **own.params}
    begin = jax.jit(partial(new_state, optimiser=optax.adam(config.learning_rate)), compiler_options=options(once=True))
    extra = {"network": network["stats"], **own.extra}
    state = begin(params, extra=extra, key=fold_name(job.key, "joint"))
    state = job.train("joint", joint(config, job.extent), config.epochs, state=state)

    arrays = {name: {"params": state.params[name], "stats": state.extra[name]} for name in state.params}
    encoder = {
        name: {"encoder": tree["encoder"]} for name, tree in (("params", before.params), ("stats", before.stats))
    }
    meta = {"config": asdict(config), **job.extent.to_meta()}
    model = Model(meta, jax.device_get({**arrays, "autoencoder": encoder}), restore(meta))
    sizes = {"latent_dim": config.latent_dim, "expert_latent_dims": [config.latent_dim] * k}
    return outcome(model, job.images, {"k-means": labels}, "reconstruction", **sizes)


def functions(config: Config, extent: Extent) -> Functions:
    """What a fitted one can do; arrays: 'params' and 'stats' of 'autoencoder', 'network' and (stacked) 'experts'."""
    spec, shape = experts.plain(config, extent, config.expert_hidden, config.n_clusters)
    network, pair = classifier.module(of_classifier(config, config.n_clusters)), coders(config, extent)

    def embed(arrays: PyTree, images: Array) -> Array:
        return pair.embed(arrays["autoencoder"]["params"], arrays["autoencoder"]["stats"], images)

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return classifier.log_posterior_of(network, arrays["network"], images)

    can = Functions(embed=embed, log_posterior=log_posterior)
    return experts.reconstructing(can, spec, shape, extent, pair.target)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(Config(**meta["config"]), Extent.from_meta(meta))


QUICK = Config(pretrain_epochs=50, classifier_epochs=20, expert_hidden=(256, 64), expert_epochs=50, epochs=50)
METHOD = Method(
    name="damic",
    title="mixture of autoencoders, one a cluster, and a network that chooses among them, started by k-means",
    source="Chazan et al., Deep clustering based on a mixture of autoencoders, MLSP 2019",
    Config=Config,
    presets=presets(QUICK),
    fit=fit,
    restore=restore,
)
