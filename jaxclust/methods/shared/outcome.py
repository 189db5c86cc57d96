"""What a method that ends in `log_posterior` says about the examples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxclust.data.rows import Images
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Model, Result
from jaxclust.train.inference import apply_in_batches


def outcome(
    model: Model,
    images: Images,
    opinions: Mapping[str, np.ndarray],
    second: str = "nearest_centroid",
    /,
    **summary: Any,
) -> Result:
    """Labels and probabilities by the model's own posterior, its embedding, and its second opinion if it has one.

    opinions: other labellings by name.  second: what the second opinion is called.  summary: more than the sizes.
    """
    can = model.functions
    probabilities = apply_in_batches(can.log_posterior, model.arrays, images)
    np.exp(probabilities, out=probabilities)
    labels = probabilities.argmax(1).astype(np.int32)
    named = dict(opinions)
    if can.second_opinion is not None:
        named[second] = apply_in_batches(can.second_opinion, model.arrays, images)
    sizes = {"n_clusters": probabilities.shape[1], "latent_dim": None, "expert_latent_dims": None}
    embedding = apply_in_batches(can.embed, model.arrays, images)
    noise = np.zeros(len(images), bool)
    return Result(model, labels, probabilities, noise, embedding, named, {**sizes, **summary}, {})


def with_clusters(result: Result, found: Found | None) -> Result:
    """The result with what the host's clusters tell: 'clear', 'clusters', and their other levels."""
    if found is None:
        return result
    summary = {**result.summary, "clear": found.told["clear"], "clusters": found.told}
    return result._replace(summary=summary, levels=found.levels)
