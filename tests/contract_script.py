"""Fits every method on eight simulated devices, and prints labels and the first terms of each training.

Run by contract_test.py, in a process of its own: the number of devices is fixed when JAX starts.
"""

import json
import sys

from jaxclust import methods, models
from jaxclust.data import sources
from jaxclust.train import mesh
from jaxclust.train.phases import Phases
from tests.contract_test import IMAGES, METHODS, Trainings, request_of


def fit(method):
    """Labels (n,), and the terms of each training's first chunk."""
    request, trainings = request_of(method), Trainings()
    preprocess, images = models.prepared(request.config, sources.load(IMAGES).images)
    result = models.fit(request, images, preprocess, Phases(report=trainings, mesh=mesh.make_mesh()))
    return {"labels": result.labels.tolist(), "terms": trainings.terms}


if __name__ == "__main__":
    methods.METHODS["toy"] = METHODS["toy"]
    json.dump({name: fit(methods.find(name)) for name in METHODS}, sys.stdout)
