"""Fits every method with one device and with all of eight simulated ones, and prints how far the results are apart.

Run by contract_test.py, in a process of its own: the number of devices is fixed when JAX starts.
"""

import json
import sys

import jax
from sklearn.metrics import adjusted_rand_score

from jaxclust import methods, models
from jaxclust.data import sources
from jaxclust.train import mesh
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Silent
from tests.contract_test import IMAGES, METHODS, request_of


class Losses(Silent):
    """Remembers the terms of each training's first chunk, before rounding has grown."""

    def __init__(self):
        self.now, self.terms = "", {}

    def phase(self, name):
        self.now = name

    def progress(self, done, total, examples_per_second, terms):
        self.terms.setdefault(self.now, dict(terms))


def fit(system, devices):
    """Labels (n,), and the first terms of each training, on `devices`."""
    request, losses = request_of(system), Losses()
    preprocess, images = models.prepared(request.config, sources.load(IMAGES).images)
    result = models.fit(request, images, preprocess, Phases(report=losses, mesh=mesh.make_mesh(devices)))
    return result.labels, losses.terms


def distance(name):
    """Agreement of the two partitions, 1 at best, and the largest relative difference of a first training's terms."""
    (one, first), (many, others) = (fit(methods.find(name), jax.devices()[:count]) for count in (1, 8))
    assert list(first)[:1] == list(others)[:1]  # which later ones follow may hang on rounding: a GAN's are chaotic
    if not first:  # it trains nothing
        return {"agreement": float(adjusted_rand_score(one, many)), "terms": 0.0}
    training = next(iter(first))
    far = [abs(others[training][term] - value) / max(abs(value), 1e-6) for term, value in first[training].items()]
    return {"agreement": float(adjusted_rand_score(one, many)), "terms": max(far)}


if __name__ == "__main__":
    methods.SYSTEMS["toy"] = METHODS["toy"]
    json.dump({name: distance(name) for name in METHODS}, sys.stdout)
