import dataclasses

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxclust.data import prepare, sources
from jaxclust.data.rows import LazyArray
from jaxclust.host import mirror
from jaxclust.methods.moe_vae.config import QUICK
from jaxclust.methods.shared.job import Job
from jaxclust.train.phases import Phases

DIGITS = load_digits().images[..., None]
BOTH = np.concatenate([DIGITS[::2], DIGITS[1::2, :, ::-1]])  # each a digit or its mirror image, none is there twice


def test_digits_are_not_mirrored_but_a_set_that_holds_mirror_images_is():
    assert mirror.strangeness(DIGITS, 0) > 1.5
    assert mirror.strangeness(BOTH, 0) == pytest.approx(1, abs=0.05)
    assert mirror.symmetric(BOTH, 1)
    assert not mirror.symmetric(DIGITS[:60], 0)


def test_by_hand():
    """[2 0] and [0 0]: either is 2 from the other, and its mirror image, [0 2] or [0 0], is 2 from it as well."""
    images = np.array([[[2.0, 0.0]], [[0.0, 0.0]]])[..., None]
    assert mirror.strangeness(images, 0) == mirror.strangeness(images, 1) == 1
    assert not mirror.symmetric(images, 0), "too few to tell"


@pytest.mark.parametrize(("images", "flip"), [(DIGITS, False), (BOTH, True)])
@pytest.mark.parametrize("asked", ["auto", True, False])
def test_a_job_asks_its_images_where_the_setting_is_auto(images, flip, asked):
    preprocess = prepare.plan(images)
    config, key = dataclasses.replace(QUICK, flip=asked), jax.random.key(0)
    job = Job(config, prepare.apply(preprocess, images), preprocess, key, Phases()).looked_at()
    assert job.config.flip is (flip if asked == "auto" else asked)
    assert job.config.mirrored().flip is job.config.flip
    assert dataclasses.replace(job.config, flip=asked) == config


def test_images_on_disk_are_read():
    images = sources.load(BOTH, stream="on").images
    preprocess = prepare.plan(images)
    job = Job(QUICK, prepare.apply(preprocess, images), preprocess, jax.random.key(0), Phases())
    assert isinstance(job.images, LazyArray)
    assert job.looked_at().config.flip is True


def test_features_are_not_mirrored():
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    preprocess = prepare.plan(rows)
    job = Job(QUICK, prepare.apply(preprocess, rows), preprocess, jax.random.key(0), Phases())
    assert job.looked_at().config.flip is False
