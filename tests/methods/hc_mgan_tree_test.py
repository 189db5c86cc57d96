"""hc-mgan's tree: restarts, the order of splits, leaves at a time, the estimator."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxclust import methods, models
from jaxclust import trees as tree
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.host import cuts
from jaxclust.methods.hc_mgan import fit as hc
from jaxclust.methods.hc_mgan import slots, split
from jaxclust.methods.hc_mgan.config import Config
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Silent
from tests import toy
from tests.methods.hc_mgan_splits_test import end, two_groups
from tests.methods.hc_mgan_test import KEY, SHAPE, TINY, equal, raw_params, started


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def fit(config, images, phases=None, seed=0):
    method = methods.find("hc-mgan")
    preprocess, prepared = models.prepared(config, sources.load(images).images)
    return models.fit(models.Request(method, config, seed), prepared, preprocess, phases or Phases())


BLOBS = {
    "min_steps": 1280,
    "max_steps": 1280,
    "batch_size": 30,
    "width": 0.1,
    "refinements": 6,
    "refinement_steps": 0.16,
}


@pytest.mark.slow
def test_blobs_are_the_leaves():
    images, labels = toy.blobs(180, kinds=3)
    result = fit(dataclasses.replace(TINY, n_clusters=3, **BLOBS), images)
    assert models.score(result.labels, labels)["acc"] > 0.95
    np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-5)
    masses = result.summary["tree"]["masses"]
    for node, (left, right) in tree.children(result.summary["tree"]["splits"]).items():
        assert masses[left] + masses[right] == pytest.approx(masses[node], abs=2e-3)  # rounded to three places


@pytest.mark.slow
def test_blobs_are_the_leaves_by_the_manifold_and_a_killed_run_goes_on(tmp_path, monkeypatch):
    images, labels = toy.blobs(180, kinds=3)
    config = dataclasses.replace(
        TINY,
        **{**BLOBS, "refinements": 2, "min_steps": 640, "max_steps": 640},
        start="manifold",
        prior="mass",
        real_weight=1.0,
    )
    result = fit(config, images)
    assert models.score(result.labels, labels)["acc"] > 0.95
    assert result.summary["tree"]["splits"] in ([0, 1], [0, 2])
    assert max(result.summary["ncut"]) < 0.05

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    trained = Phases.train
    with monkeypatch.context() as patch:
        patch.setattr(
            Phases,
            "train",
            lambda self, name, *a, **k: (killed if name == "refined-2-1" else trained)(self, name, *a, **k),
        )
        with pytest.raises(KeyboardInterrupt):
            fit(config, images, Phases(tmp_path))
    kept = {path.name for path in (tmp_path / "phases").iterdir()}
    assert {"splits-1.npz", "cuts-2.npz"} <= kept
    assert "splits-2.npz" not in kept
    monkeypatch.setattr(cuts, "bisect", killed)
    again = fit(config, images, Phases(tmp_path))
    np.testing.assert_array_equal(again.probabilities, result.probabilities)
    equal(again.model.arrays, result.model.arrays)


@pytest.mark.parametrize(("start", "expected"), [("raw", [False, True, True]), ("manifold", [False, True])])
def test_the_first_training_of_a_node_is_a_long_one_whatever_networks_begin_with(monkeypatch, start, expected):
    seen = []

    def run(job, several, work, name, titles):
        seen.append(work[()].short)
        says = np.repeat(np.linspace(0.1 * len(seen), 1, 80)[:, None], several.groups, 1)
        return {(): split.End("", {"features": {"params": {"w": np.ones(2)}}}, says)}

    monkeypatch.setattr(hc, "run", run)
    config = dataclasses.replace(TINY, start=start, refinements=2, warm_start=False)
    job = toy.job(config, two_groups())
    hc.split_leaves(job, {(): np.ones(80)}, 1, split.by_cuts(job))
    assert seen == expected


@pytest.mark.slow
def test_leaves_split_at_a_time_give_the_tree_of_leaves_split_one_by_one(monkeypatch):
    images, _ = toy.blobs(120)
    config = dataclasses.replace(TINY, n_clusters=5, concurrent=2, refinements=1)
    together = fit(config, images)
    monkeypatch.setattr(tree, "due", lambda masses, n, most: [max(masses, key=lambda leaf: (masses[leaf], leaf))])
    one_by_one = fit(config, images)
    assert together.summary["tree"] == one_by_one.summary["tree"]
    np.testing.assert_array_equal(together.probabilities, one_by_one.probabilities)
    equal(together.model.arrays, one_by_one.model.arrays)


@pytest.mark.slow
def test_what_fails_is_begun_anew_and_then_left(monkeypatch):
    """A split whose trainings never end well leaves its node a leaf; the others go on."""
    images, _ = toy.blobs(120)
    ended, seen = split.ended, []

    def ends(config, images, params, fault, work):
        found = ended(config, images, params, fault, work)
        seen.append(work.members.sum())
        return found._replace(fault=split.EMPTY) if work.members.sum() < 119 else found._replace(fault="")

    monkeypatch.setattr(split, "ended", ends)
    notes = Notes()
    result = fit(dataclasses.replace(TINY, n_clusters=4, restarts=1), images, Phases(report=notes))
    assert result.summary["tree"]["splits"] == [0], "no child could be split"
    assert len(seen) == 2 + 2 * 2, "the root's two trainings, and two for each child"
    assert sum(split.EMPTY in line for line in notes.said) == 4
    monkeypatch.setattr(split, "ended", lambda *a: ended(*a)._replace(fault=split.EMPTY))
    with pytest.raises(InputError, match="could not be split in 2 trainings"):
        fit(dataclasses.replace(TINY, restarts=1), images)


@pytest.mark.slow
def test_a_leaf_that_is_done_keeps_its_outcome_and_not_its_checkpoints(tmp_path):
    images, _ = toy.blobs(60)
    result = fit(dataclasses.replace(TINY, n_clusters=3), images, Phases(tmp_path))
    left = {path.name for path in (tmp_path / "phases").iterdir()}
    assert left == {"splits-1.npz", "splits-2.npz", "seconds.json"}
    notes = Notes()
    again = fit(dataclasses.replace(TINY, n_clusters=3), images, Phases(tmp_path, notes))
    np.testing.assert_array_equal(again.probabilities, result.probabilities)
    assert not any("first steps" in line for line in notes.said), "nothing was trained"


def halves(monkeypatch, doubts):
    """Splits without training: the first half of each leaf's rows from the others; doubts by leaf."""

    def split_leaves(job, leaves, wave, cut_of):
        found = {}
        for place, member in leaves.items():
            rows = np.flatnonzero(member)
            share = np.isin(np.arange(len(member)), rows[: len(rows) // 2]).astype(float)
            found[place] = split.raw_split(split.End("", {}, share[:, None]))._replace(doubt=doubts.get(place, 0.0))
        return found

    monkeypatch.setattr(hc, "split_leaves", split_leaves)


@pytest.mark.parametrize("concurrent", [1, 3])
def test_the_largest_leaf_is_split_and_one_in_doubt_where_a_number_is_asked_for(monkeypatch, concurrent):
    images = np.arange(32, dtype=np.float32).reshape(16, 2)
    config = dataclasses.replace(TINY, n_clusters=4, max_doubt=0.1, concurrent=concurrent)
    halves(monkeypatch, {(0,): 0.2})
    places = {0: (), 1: (0,), 2: (1,), 3: (1, 0)}

    def split_in_turn(**changes):
        splits, _, masses = hc.grow(toy.job(dataclasses.replace(config, **changes), images))
        assert masses[:3] == [16, 8, 8]
        return splits

    assert [places[node] for node in split_in_turn()] == [(), (0,), (1,)], "of two equals the first"
    assert 1 not in split_in_turn(n_clusters="auto", min_share=0.05)


def test_a_tree_says_why_it_has_fewer_leaves_or_none(monkeypatch):
    images = np.arange(16, dtype=np.float32).reshape(8, 2)
    halves(monkeypatch, {(): 0.2})
    notes = Notes()
    config = dataclasses.replace(TINY, n_clusters=20)
    assert len(hc.grow(toy.job(config, images, Phases(report=notes)))[0]) == 7
    assert notes.said[-1] == "8 leaves of 20: no other could be split"
    with pytest.raises(InputError, match=r"doubt 0.200 \(max_doubt 0.1\).*give n_clusters"):
        fit(dataclasses.replace(TINY, n_clusters="auto"), images)


@pytest.mark.slow
def test_what_is_usable_outlives_what_is_not(monkeypatch):
    """A raw split whose discriminator has won stands, where the trainings after it fail."""
    ends = iter([slots.FAULTS[slots.COLLAPSED], split.EMPTY])
    monkeypatch.setattr(split, "ended", lambda config, images, params, fault, work: end([0.4] * 40, next(ends), 1))
    config = dataclasses.replace(TINY, restarts=1)
    images = np.linspace(0, 1, 40 * np.prod(SHAPE), dtype=np.float32).reshape(40, *SHAPE)
    several = hc.training(dataclasses.replace(config, concurrent=1), SHAPE, 1, False)
    work = {(): split.Work(KEY, np.ones((1, 40)), 1.0)}
    found = split.run(toy.job(config, images), several, work, "raw-1", [])
    assert found[()].fault == slots.FAULTS[slots.COLLAPSED]
    assert next(ends, None) is None, "both trainings were made"


def test_without_a_number_a_split_has_to_separate_something():
    config = dataclasses.replace(TINY, n_clusters="auto", min_share=0.1, max_doubt=0.1)
    good = split.raw_split(end([1.0, 1.0, 0.0, 0.0], v=1))
    member = np.ones(4)
    assert hc.stands(config, good, member)
    assert not hc.stands(config, good._replace(doubt=0.2), member)
    assert not hc.stands(config, good._replace(share=np.array([0.1, 0.1, 0.1, 0.0])), member)
    assert not hc.stands(config, good._replace(sound=False), member)
    assert hc.stands(TINY, good._replace(doubt=0.2), member), "where K is asked for, it is given"
    assert hc.splittable(config, 21, 100)
    assert not hc.splittable(config, 19, 100)
    assert hc.splittable(TINY, 2, 100)
    assert not hc.splittable(TINY, 1.9, 100)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_clusters", 1),
        ("epochs", 0),
        ("refinements", -1),
        ("min_share", 0.6),
        ("concurrent", 0),
        ("width", 0.0),
        ("generator_width", -1.0),
        ("refinement_steps", float("nan")),
        ("rotation", -1.0),
        ("shift", float("nan")),
        ("zoom", 1.0),
        ("last_noise_variance", -0.1),
        ("neighbors", 0),
        ("max_ncut", 0.0),
        ("max_samples", 3),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"{field} is {value}"):
        Config(**{field: value})


def test_a_cut_needs_a_refinement():
    with pytest.raises(InputError, match="start is manifold with refinements 0"):
        Config(start="manifold", refinements=0)


@pytest.mark.slow
def test_a_warm_start_gives_both_groups_the_judges_of_the_raw_split():
    _, fresh = started(2, refine=True)
    new = raw_params(4)
    judges = ("features", "discriminator", "classifier")
    split_ = {**new, **jax.tree.map(lambda leaf: leaf[None], {name: new[name] for name in judges})}
    found = split.put_in(fresh.params, {1: split_})
    equal(jax.tree.map(lambda leaf: leaf[0], found), jax.tree.map(lambda leaf: leaf[0], fresh.params))
    for g in (0, 1):
        equal(
            jax.tree.map(lambda leaf, g=g: leaf[1, g], {name: found[name] for name in judges}),
            {n: new[n] for n in judges},
        )
    equal(jax.tree.map(lambda leaf: leaf[1], found["generator"]), new["generator"])
    assert split.put_in(fresh.params, {}) is fresh.params


@pytest.mark.slow
def test_the_estimator_has_the_tree_at_every_number_of_leaves(tmp_path):
    from jaxclust import HCMGAN

    images, _ = toy.blobs(60)
    small = {"preset": "quick", "width": 0.03, "min_steps": 32, "max_steps": 32, "refinements": 1, "batch_size": 10}
    model = HCMGAN(n_clusters=4, **small).fit(images)
    assert len(model.tree_.splits) == 3
    assert len(model.tree_.masses) == 7
    assert model.tree_.masses[0] == 60
    for n_leaves in (1, 2, 3, 4):
        shares = model.predict_proba(images, n_leaves)
        assert shares.shape == (60, n_leaves)
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(model.predict(images, n_leaves), model.labels_at(n_leaves))
    two = model.predict_proba(images, 2).sum(0)
    np.testing.assert_allclose(sorted(two), sorted(model.tree_.masses[1:3]), atol=1e-2)
    with pytest.raises(InputError, match="n_leaves is 5: the tree has 1 to 4"):
        model.predict(images, n_leaves=5)
    model.save(tmp_path / "model")
    loaded = HCMGAN.load(tmp_path / "model")
    assert loaded.tree_ == model.tree_
    np.testing.assert_array_equal(loaded.predict(images, 3), model.predict(images, 3))
    assert loaded.tree_.linkage().shape == (3, 4)
    assert loaded.tree_.newick().endswith("s0;")
    assert loaded.sample(2, cluster=3).shape == (2, 8, 8, 1)


@pytest.mark.slow
def test_a_run_draws_the_tree(tmp_path):
    from jaxclust import runs
    from jaxclust.data import sources
    from jaxclust.report import figures

    images, _ = toy.blobs(60)
    config = dataclasses.replace(TINY, n_clusters=3, refinements=0)
    request = models.Request(methods.find("hc-mgan"), config, 0)
    key = jax.random.key(0)

    def draw(out, result, prepared, preprocess, dataset):
        figures.draw_run(out, result, prepared, preprocess, dataset.labels, key=key)

    metrics = runs.fit(request, sources.load(images), tmp_path / "run", draw=draw)
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"tree", "top", "dendrogram", "node_samples", "samples", "training"} <= drawn
    assert metrics["summary"]["newick"].endswith("s0;")
    assert len(metrics["summary"]["linkage"]) == 2


def test_what_has_no_cut_is_a_leaf_and_without_a_number_what_has_no_small_one():
    config = dataclasses.replace(TINY, start="manifold", refinements=1, max_samples=4000)
    few = np.zeros(80)
    few[:3] = 1
    assert not split.by_cuts(toy.job(config, two_groups()))(few, KEY).sound
    noise = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    assert split.by_cuts(toy.job(dataclasses.replace(config, n_clusters=4), noise))(np.ones(300), KEY).open
    auto = dataclasses.replace(config, n_clusters="auto")
    assert split.by_cuts(toy.job(auto, two_groups()))(np.ones(80), KEY).open
    found = split.by_cuts(toy.job(auto, noise))(np.ones(300), KEY)
    assert found.ncut > auto.max_ncut
    assert not found.open
    with pytest.raises(InputError, match=r"normalised cut 0.\d+ \(max_ncut 0.05\).*give n_clusters"):
        fit(auto, noise)
    with pytest.raises(InputError, match="no cut: give start raw, or more examples"):
        fit(dataclasses.replace(config, n_clusters=2), noise[:3])
