"""A fitted model whose clusters were edited: steps on top of any method's functions, which stay as they are.

    p(k|x), K clusters          before a step
    p'(j|x), K' clusters        after it
    M_j                         the clusters that j takes its probability from, its members
    h_q(z), q = 0, 1, ..        the step's head, a classifier of codes z, softmax over its parts; where it has one
    q_j                         the part of the head that j is; none where it takes its members' probability whole

    p'(j|x) = h_{q_j}(z(x)) sum_{k in M_j} p(k|x)

    merge       no head; M_j are the clusters that become one
    split       the parts of cluster c have M_j = {c}; the others stay as they are
    recluster   part 0 of the head stays in its cluster; part q is a new cluster, of which all are members

So p' sums to one, and is a function of x alone. A sample of cluster j is one of a member, drawn by the members' shares
w_jk of the examples of j; where j is a part of the head, of TRIES candidates the head prefers, by Gumbel's trick.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxclust.methods.base import Functions, Method, Model
from jaxclust.methods.shared import classifier
from jaxclust.numerics import fold_name
from jaxclust.typing import Array, Key, PyTree

EDITS = "edits"  # in meta: the steps, in order
TRIES = 8  # candidates for each sample of a part of the head
DRAWN = 8  # members, the first, that such candidates are drawn from
WIDTH = 0.5  # of the head


class Step(NamedTuple):
    """From K clusters to K'.

    members: of each new cluster the old ones, the one with the most of its examples first.
    parts: of each new cluster the part of the head, -1 for none.
    n_parts: of the head; 0 where there is none.
    """

    members: tuple[tuple[int, ...], ...]
    parts: tuple[int, ...]
    n_parts: int = 0

    @property
    def places(self) -> np.ndarray:
        """Members (K', M), filled up with the first."""
        most = max(map(len, self.members))
        return np.array([[*of, *of[:1] * (most - len(of))] for of in self.members], np.int32)

    @property
    def held(self) -> np.ndarray:
        """(K', M), False where it is filled up."""
        return np.arange(self.places.shape[1]) < np.array([[len(of)] for of in self.members])


def transferred(step: Step, log_posterior: Array, log_parts: Array | None) -> Array:
    """log p' (n, K') of log p (n, K) and log h (n, P)."""
    taken = jax.nn.logsumexp(log_posterior[:, step.places], axis=-1, where=step.held)
    if log_parts is None:
        return taken
    parts = np.array(step.parts)
    return taken + jnp.where(parts >= 0, log_parts[:, np.maximum(parts, 0)], 0.0)


def edited(model: Model, step: Step, arrays: Mapping[str, PyTree]) -> Model:
    """The model after one more step.

    arrays: 'shares' (K', M), of each new cluster's examples those that were its members'; with a head also 'mean' and
    'scale' (d,) of codes, and 'head', the classifier's arrays.
    """
    steps = list(model.meta.get(EDITS, ()))
    meta = {**model.meta, EDITS: [*steps, step._asdict()]}
    base = model.arrays if steps else {"model": model.arrays}
    functions = model.functions if steps else _inside(model.functions)
    name = _name(len(steps))
    return Model(meta, {**base, name: dict(arrays)}, _after(functions, step, name))


def restore(method: Method, meta: Mapping[str, Any]) -> Functions:
    """The functions of a saved model, its edits included."""
    steps = meta.get(EDITS, ())
    functions = method.restore({name: value for name, value in meta.items() if name != EDITS})
    if not steps:
        return functions
    functions = _inside(functions)
    for number, kept in enumerate(steps):
        members = tuple(tuple(map(int, of)) for of in kept["members"])
        functions = _after(functions, Step(members, tuple(kept["parts"]), kept["n_parts"]), _name(number))
    return functions


def n_edits(meta: Mapping[str, Any]) -> int:
    """How many steps a model has had."""
    return len(meta.get(EDITS, ()))


def head_spec(n_parts: int, n_steps: int = 1) -> classifier.ClassifierSpec:
    """The training of a head."""
    return classifier.ClassifierSpec(n_parts, WIDTH, learning_rate=2e-3, schedule="cosine", n_steps=n_steps)


def log_parts_of(step: Step, arrays: Mapping[str, PyTree], codes: Array) -> Array | None:
    """log h (n, P) of codes (n, d); None without a head."""
    if not step.n_parts:
        return None
    network = classifier.module(head_spec(step.n_parts))
    return classifier.log_posterior_of(network, arrays["head"], (codes - arrays["mean"]) / arrays["scale"])


def _name(number: int) -> str:
    return f"edit_{number}"


def _inside(functions: Functions) -> Functions:
    """The functions of a model whose arrays are kept under 'model'."""

    def opened(function: Any) -> Any:
        def call(arrays: PyTree, *rest: Any, **named: Any) -> Any:
            return function(arrays["model"], *rest, **named)

        return None if function is None else call

    return Functions(**{name: opened(function) for name, function in vars(functions).items()})


def _after(before: Functions, step: Step, name: str) -> Functions:
    """The functions after a step, whose arrays are kept under `name`; what is not about clusters stays."""

    def log_parts(arrays: PyTree, images: Array) -> Array | None:
        return log_parts_of(step, arrays[name], before.embed(arrays, images)) if step.n_parts else None

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return transferred(step, before.log_posterior(arrays, images), log_parts(arrays, images))

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        assert before.second_opinion is not None
        certain = jnp.where(before.second_opinion(arrays, images)[:, None] == np.arange(_before(step)), 0.0, -jnp.inf)
        return transferred(step, certain, log_parts(arrays, images)).argmax(-1).astype(jnp.int32)

    def weights(arrays: PyTree) -> Array:
        """(K', K), rows that sum to one."""
        rows = np.arange(len(step.members))[:, None]
        return jnp.zeros((len(step.members), _before(step))).at[rows, step.places].add(arrays[name]["shares"])

    def decode(arrays: PyTree, latent: Array, cluster: Array) -> Array:
        assert before.decode is not None
        return before.decode(arrays, latent, jnp.asarray(step.places[:, 0])[cluster])

    def centroids(arrays: PyTree) -> Array:
        assert before.centroids is not None
        return weights(arrays) @ before.centroids(arrays)

    def between(arrays: PyTree, shares: Array) -> Array:
        assert before.between is not None
        return before.between(arrays, shares @ weights(arrays))

    own: dict[str, Any] = {
        "decode": decode,
        "centroids": centroids,
        "between": between,
        "second_opinion": second_opinion,
    }
    own["sample"] = _sample(before, step, name)
    can = {of: function for of, function in own.items() if getattr(before, of) is not None}
    return replace(before, log_posterior=log_posterior, **can)


def _before(step: Step) -> int:
    """K, of a step that takes every cluster in."""
    return 1 + max(max(of) for of in step.members)


def _sample(before: Functions, step: Step, name: str) -> Any:
    """`Functions.sample` after a step. A cluster of one member and no part draws what it drew before."""

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        assert before.sample is not None
        m = n * TRIES if step.n_parts else n
        members = jnp.asarray(step.places[:, : DRAWN if step.n_parts else None])[cluster]
        if len(members) == 1:
            drawn = before.sample(arrays, key, m, members[0])
        else:
            keys = jnp.stack([key, *(jax.random.fold_in(key, i) for i in range(1, len(members)))])
            draws = lax.map(lambda of: before.sample(arrays, of[0], m, of[1]), (keys, members))
            log_shares = jnp.log(arrays[name]["shares"][cluster][: len(members)])
            chosen = jax.random.categorical(fold_name(key, "member"), log_shares, shape=(m,))
            drawn = draws[chosen, jnp.arange(m)]
        if not step.n_parts:
            return drawn
        scores = jax.random.gumbel(fold_name(key, "part"), (m,))
        log_parts = log_parts_of(step, arrays[name], before.embed(arrays, drawn))
        assert log_parts is not None
        part = jnp.asarray(step.parts)[cluster]
        scores += jnp.where(part >= 0, log_parts[:, jnp.maximum(part, 0)], 0.0)
        return drawn[lax.top_k(scores, n)[1]]

    return sample


def shares(members: Sequence[Sequence[int]], counts: Sequence[Sequence[float]]) -> np.ndarray:
    """'shares' (K', M) of a step: `counts` of each member's examples, as shares; equal ones where there are none."""
    most = max(map(len, members))
    found = np.zeros((len(members), most), np.float32)
    for row, of in zip(found, counts, strict=True):
        whole = float(sum(of))
        row[: len(of)] = np.asarray(of, float) / whole if whole > 0 else 1 / len(of)
    return found
