"""What labels new examples, of every method: `embed`, `log_posterior` and the nearest centroid as one program.

A program fails where a product within the scope EXACT is in fewer bits than float32 (bfloat16, TF32), and where one is
neither there nor in the layer of a network: a distance that nobody marked. Layers multiply as their settings say.

No model is fitted: settings are those of preset full, and shapes of the arrays come from jax.eval_shape.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.bench import _hlo
from experiments.bench._targets import Target
from jaxclust import methods
from jaxclust.methods.baselines import damic, gmvae, mixae, umap_density, vade
from jaxclust.methods.clustering_module.model import random_module
from jaxclust.methods.hc_mgan.model import networks
from jaxclust.methods.hrwae_gan import model as hrwae_gan
from jaxclust.methods.moe_vae.model import specs_of
from jaxclust.methods.shared import autoencoder, classifier, experts
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.vc.model import Networks
from jaxclust.nn.apply import Module, init
from jaxclust.numerics import EXACT
from jaxclust.train import mesh as meshes
from jaxclust.train.training import TrainState
from jaxclust.typing import Array, Key, PyTree

CLUSTERS, LATENT, BATCH = 10, 16, 256
SHAPE = (16, 16, 1)
EXTENT = Extent(SHAPE, 16, 16)

PREFIX = "predict-"  # of the programs' names
CONTROL = "kmeans"  # the method whose program the controls spoil
FAULTS = {"inexact distances": "fewer bits", "unmarked distances": "unmarked"}  # and the word that must catch them

Program = Callable[[PyTree, Array], tuple[Array, ...]]


class Labelling(NamedTuple):
    """What is known of a method's program on one target. exact: its marked products in full float32, and in fewer bits;
    unmarked: names of those that are neither marked nor a network's."""

    method: str
    target: str
    exact: tuple[int, int]
    unmarked: tuple[str, ...]

    def failures(self) -> list[str]:
        """What is wrong with it, in words; best nothing."""
        found = [f"{self.exact[1]} products of distances in fewer bits"] if self.exact[1] else []
        return [*found, f"unmarked products: {', '.join(self.unmarked)}"] if self.unmarked else found

    def cells(self) -> list[str]:
        """One line of the table, in the order of HEADER."""
        exact = f"{self.exact[0]} of {sum(self.exact)}"
        return [PREFIX + self.method, self.target, exact, str(len(self.unmarked)), "; ".join(self.failures()) or "good"]


HEADER = ("program", "target", "exact", "unmarked", "verdict")


def measured(method: str, target: Target, fault: str = "") -> Labelling:
    """Compile the method's program for one chip of the target and read what came out. fault: a control's name."""
    function, arrays, images = program(method)
    if fault:
        function = spoiled(function, fault)
    mesh = meshes.make_mesh(target.devices()[:1])
    where = meshes.replicated(mesh)
    given = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), (arrays, images))
    text = meshes.within(mesh, jax.jit(function).lower)(*given).compile(target.options()).as_text()
    return Labelling(method, target.name, _hlo.exact(text, EXACT), tuple(_hlo.stray(text, EXACT)))


def compile_all(names: Sequence[str], targets: Sequence[Target], say: Callable[[str], None]) -> int:
    """Compile the programs of these methods, and the controls, for every target, tell each as it is known: how many
    failed, or were not caught."""
    failed = 0
    for cells in (HEADER, ["---"] * len(HEADER)) if names else ():
        say(f"| {' | '.join(cells)} |")
    for target in targets if names else ():
        for name in names:
            found = measured(name, target)
            say(f"| {' | '.join(found.cells())} |")
            failed += bool(found.failures())
        for fault, word in FAULTS.items():
            failures = measured(CONTROL, target, fault).failures()
            caught = any(word in failure for failure in failures)
            say(f"control on {target.name}, {fault}: {'caught: ' + '; '.join(failures) if caught else 'NOT CAUGHT'}")
            failed += not caught
    return failed


def spoiled(function: Program, fault: str) -> Program:
    """The same with products of examples in the device's default precision, marked as distances or not."""

    def labels(arrays: PyTree, images: Array) -> tuple[Array, ...]:
        x = images.reshape(len(images), -1).astype(jnp.float32)
        with jax.named_scope(EXACT if fault == "inexact distances" else "others"):
            products = x @ x.T
        return *function(arrays, images), products

    return labels


def program(method: str) -> tuple[Program, PyTree, jax.ShapeDtypeStruct]:
    """The function (arrays, images) -> what is said of them, and the shapes of both."""
    config = settings(method)
    meta = meta_of(config)
    can = methods.find(method).restore(meta)

    said = [can.embed, can.log_posterior]
    if can.second_opinion is not None and can.centroids is not None:
        said.append(can.second_opinion)

    def labels(arrays: PyTree, images: Array) -> tuple[Array, ...]:
        return tuple(function(arrays, images) for function in said)

    arrays = jax.eval_shape(partial(ARRAYS[method], config, meta), jax.random.key(0))
    return labels, arrays, jax.ShapeDtypeStruct((BATCH, *SHAPE), jnp.uint8)


def settings(method: str) -> Any:
    """Preset full in the compute type and the convolutions of an accelerator, as far as the method has such."""
    config = methods.find(method).presets["full"]
    wanted = {"precision": "bfloat16", "form": "native", "n_clusters": CLUSTERS, "latent_dim": LATENT}
    return replace(config, **{field.name: wanted[field.name] for field in fields(config) if field.name in wanted})


def meta_of(config: Any) -> dict[str, Any]:
    """What models of all methods keep as plain JSON."""
    return {
        "config": asdict(config),
        "shape": list(SHAPE),
        **EXTENT.to_meta(),
        "likelihood": "bernoulli",
        "n_clusters": CLUSTERS,
        "latent_dim": LATENT,
        "expert_latent_dims": [LATENT] * CLUSTERS,
        "splits": list(range(CLUSTERS - 1)),
    }


# The arrays of a fitted model: (config, meta, key) -> arrays


def network(module: Module, key: Key, shape: tuple[int, ...] = SHAPE) -> dict[str, PyTree]:
    """'params' and 'stats' of a network for examples of that shape."""
    params, stats = init(module, key, jnp.zeros((1, *shape)))
    return {"params": params, "stats": stats}


def trained(state: TrainState) -> dict[str, PyTree]:
    """Those of the networks of a training that has several."""
    return {name: {"params": state.params[name], "stats": state.extra[name]} for name in state.params}


def of_moe_vae(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    code, mixed = specs_of(meta)
    params, stats = experts.init_experts(mixed.experts, SHAPE, key)
    return {
        "encoder": network(autoencoder.modules(code, SHAPE)[0], key),
        "manager": network(classifier.module(mixed.manager), key),
        "experts": {"params": params, "stats": stats},
    }


def of_hrwae_gan(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    head = classifier.module(hrwae_gan.head_spec(config, CLUSTERS, 1))
    return {"autoencoder": network(hrwae_gan.hierarchy(config, SHAPE), key), "head": network(head, key)}


def of_hc_mgan(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    one, splits = networks(config, SHAPE).init(key), len(meta["splits"])
    return {
        name: jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (splits, 2, *leaf.shape)), one[name])
        for name in ("features", "classifier")
    }


def of_cm(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    return {"module": random_module(key, CLUSTERS, EXTENT.size)._asdict()}


def of_ae_cm(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    return {**of_pair(config, meta, key), "module": random_module(key, CLUSTERS, LATENT)._asdict()}


def of_vc(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    params, stats = Networks(config, CLUSTERS, EXTENT, meta["likelihood"]).init(key)
    return {"params": params, "stats": stats, "kept": jnp.arange(CLUSTERS, dtype=jnp.int32)}


def of_pair(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    """Of an autoencoder and centroids."""
    params, stats = coders(config, EXTENT).init(key, 1)
    centroids = jnp.zeros((CLUSTERS, LATENT))
    return {"params": params, "stats": stats, "centroids": centroids, "sharpness": jnp.ones(())}


def of_n2d(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    head = classifier.module(classifier.ClassifierSpec(CLUSTERS))
    return {**of_pair(config, meta, key), "classifier": network(head, key, (LATENT,))}


def of_vade(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    state = vade.joint(config, vade.wide(config, EXTENT)).init(key, (1, *SHAPE))
    params = dict(state.params)
    return {"prior": params.pop("prior"), "params": params, "stats": state.extra["stats"]}


def of_gmvae(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    state = gmvae.training(config, EXTENT).init(key, (1, *SHAPE))
    return {"params": state.params, "stats": state.extra["stats"]}


def of_damic(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    return {**trained(damic.joint(config, EXTENT).init(key, (1, *SHAPE))), "autoencoder": of_pair(config, meta, key)}


def of_mixae(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    return trained(mixae.training(config, EXTENT).init(key, (1, *SHAPE)))


def of_umap_density(config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    return network(classifier.module(umap_density.head_spec(config, CLUSTERS, 1)), key)


def of_mixture(full: bool, config: Any, meta: Mapping[str, Any], key: Key) -> PyTree:
    d = EXTENT.size
    precisions = jnp.zeros((CLUSTERS, d, d) if full else (CLUSTERS,))
    return {"means": jnp.zeros((CLUSTERS, d)), "precision_cholesky": precisions, "log_weights": jnp.zeros(CLUSTERS)}


ARRAYS: dict[str, Callable[[Any, Mapping[str, Any], Key], PyTree]] = {
    "moe-vae": of_moe_vae,
    "hrwae-gan": of_hrwae_gan,
    "hc-mgan": of_hc_mgan,
    "cm": of_cm,
    "ae-cm": of_ae_cm,
    "vc": of_vc,
    "umap-density": of_umap_density,
    "kmeans": partial(of_mixture, False),
    "gmm": partial(of_mixture, True),
    "igmm": partial(of_mixture, False),
    **dict.fromkeys(("ae-kmeans", "dec", "idec", "dcn", "dkm"), of_pair),
    "n2d": of_n2d,
    "vade": of_vade,
    "gmvae": of_gmvae,
    "damic": of_damic,
    "mixae": of_mixae,
}
