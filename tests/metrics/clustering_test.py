"""Clustering scores against hand-computed cases, an exhaustive search and scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sk

from jaxclust.metrics import clustering

KEYS = {
    "acc", "acc_labelled", "nmi", "ari", "homogeneity", "completeness", "silhouette", "calinski_harabasz",
    "noise_fraction", "perplexity", "effective_clusters", "n_clusters",
}  # fmt: skip


def random_labels(seed, n=60, clusters=4, classes=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, clusters, n), rng.integers(0, classes, n)


def exhaustive_accuracy(pred, true):
    """Try every one-to-one map; clusters without a class map to None."""
    clusters = [c for c in np.unique(pred) if c >= 0]
    targets = list(np.unique(true)) + [None] * len(clusters)
    best = 0
    for chosen in set(itertools.permutations(targets, len(clusters))):
        to_class = dict(zip(clusters, chosen, strict=True))
        best = max(best, sum(to_class.get(p) == t and p >= 0 for p, t in zip(pred, true, strict=True)))
    return best / len(pred)


@pytest.mark.parametrize(
    ("pred", "true", "expected"),
    [
        ([1, 1, 0, 0], [0, 0, 1, 1], 1.0),
        ([0, 0, 0, 0], [0, 0, 1, 1], 0.5),  # one cluster: one class can be right
        ([0, 1, 2, 3], [0, 0, 1, 1], 0.5),  # surplus clusters are wrong
        ([0, 0, -1, -1], [0, 0, 1, 1], 0.5),  # noise is wrong
        ([-1, -1, -1, -1], [0, 0, 1, 1], 0.0),
        ([0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0], 4 / 6),  # greedy, cluster by cluster, would get 2 / 6
        ([0, 0, 0, 0, 1, 1, 1], [5, 5, 9, 9, 5, 5, 5], 5 / 7),
        ([7], [3], 1.0),
    ],
)
def test_accuracy_by_hand(pred, true, expected):
    assert clustering.accuracy(pred, true) == pytest.approx(expected)


@pytest.mark.parametrize(("clusters", "classes"), [(3, 3), (4, 2), (2, 4)])
def test_accuracy_is_the_best_of_all_maps(clusters, classes):
    for seed in range(5):
        pred, true = random_labels(seed, 25, clusters, classes)
        pred[seed] = -1
        assert clustering.accuracy(pred, true) == pytest.approx(exhaustive_accuracy(pred, true))


def test_accuracy_ignores_names_of_clusters_and_classes():
    pred, true = random_labels(0, clusters=6)
    rename = np.random.default_rng(1).permutation(6)
    assert clustering.accuracy(rename[pred] * 10, true + 100) == clustering.accuracy(pred, true)
    order = np.random.default_rng(2).permutation(len(pred))
    assert clustering.accuracy(pred[order], true[order]) == clustering.accuracy(pred, true)


def test_class_map_leaves_out_surplus_clusters_and_noise():
    assert clustering.class_map([0, 0, 0, 1, 1, 2, -1], [4, 4, 4, 6, 6, 6, 6]) == {0: 4, 1: 6}


def test_contingency_keeps_a_class_that_is_all_noise():
    counts, clusters, classes = clustering.contingency([3, 3, -1, 1], [0, 1, 2, 1])
    np.testing.assert_array_equal(counts, [[0, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(clusters, [1, 3])
    np.testing.assert_array_equal(classes, [0, 1, 2])


def test_acc_labelled_leaves_out_noise_by_flag_and_by_label():
    pred, true = np.array([0, 0, 1, 1, -1]), np.array([0, 0, 1, 0, 1])
    assert clustering.acc_labelled(pred, true) == pytest.approx(3 / 4)
    assert clustering.acc_labelled(pred, true, np.array([0, 0, 0, 1, 0], bool)) == pytest.approx(1.0)
    assert clustering.acc_labelled(pred, true, np.ones(5, bool)) is None
    assert clustering.noise_fraction(pred, np.array([0, 0, 0, 1, 1], bool)) == pytest.approx(2 / 5)
    assert clustering.noise_fraction(pred) == pytest.approx(1 / 5)


def test_information_scores_agree_with_scikit_learn():
    pred, true = random_labels(3, clusters=5)
    assert clustering.nmi(pred, true) == pytest.approx(sk.normalized_mutual_info_score(true, pred))
    assert clustering.ari(pred, true) == pytest.approx(sk.adjusted_rand_score(true, pred))
    assert clustering.homogeneity(pred, true) == pytest.approx(sk.homogeneity_score(true, pred))
    assert clustering.completeness(pred, true) == pytest.approx(sk.completeness_score(true, pred))


def test_nmi_by_hand():
    """I = log 2, H(pred) = log 4, H(true) = log 2."""
    pred, true = [0, 1, 2, 3], [0, 0, 1, 1]
    assert clustering.nmi(pred, true) == pytest.approx(2 / 3)
    assert clustering.nmi(pred, true, average_method="max") == pytest.approx(1 / 2)
    assert clustering.homogeneity(pred, true) == pytest.approx(1.0)
    assert clustering.completeness(pred, true) == pytest.approx(1 / 2)
    assert clustering.homogeneity(true, pred) == pytest.approx(1 / 2)  # which argument is which


def test_silhouette_by_hand():
    """Clusters {0, 1} and {5}: a = 1, b = 5 and 4, a point alone scores 0."""
    assert clustering.silhouette([[0.0], [1.0], [5.0]], [0, 0, 1]) == pytest.approx((4 / 5 + 3 / 4 + 0) / 3)


def test_embedding_scores_agree_with_scikit_learn_and_leave_out_noise():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(90, 3)), rng.integers(-1, 3, 90)
    kept = labels >= 0
    expected = sk.silhouette_score(points[kept], labels[kept])
    assert clustering.silhouette(points, labels) == pytest.approx(expected)
    expected = sk.calinski_harabasz_score(points[kept], labels[kept])
    assert clustering.calinski_harabasz(points, labels) == pytest.approx(expected)


def test_silhouette_of_a_subset_is_repeatable_and_close():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 400)
    points = rng.normal(size=(1200, 2)) + 4 * np.eye(3, 2)[labels]
    subset = clustering.silhouette(points, labels, max_points=300)
    assert subset == clustering.silhouette(points, labels, max_points=300)
    full = clustering.silhouette(points, labels)
    assert subset != full
    assert abs(subset - full) < 0.05


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [-1, -1, -1, -1], [0, 0, -1, -1]])
def test_embedding_scores_are_none_where_undefined(labels):
    points = np.arange(8.0).reshape(4, 2)
    assert clustering.silhouette(points, labels) is None
    assert clustering.calinski_harabasz(points, labels) is None


def test_perplexity():
    assert clustering.perplexity([0, 1, 2, 3]) == pytest.approx(4.0)
    assert clustering.perplexity([5, 5, 5]) == pytest.approx(1.0)
    assert clustering.perplexity([0, 0, 0, 1, -1]) == pytest.approx(4 / 3**0.75)  # shares 3/4 and 1/4
    assert clustering.perplexity([-1, -1]) is None
    one_hot = np.eye(3)[[0, 0, 1, 2, 2]]
    assert clustering.perplexity(one_hot) == pytest.approx(clustering.perplexity([0, 0, 1, 2, 2]))
    assert clustering.perplexity(np.full((6, 3), 1 / 3)) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="sum to one"):
        clustering.perplexity(np.ones((4, 2)))


def test_cluster_sizes_and_effective_clusters():
    labels = np.repeat([-1, 0, 2, 4], [50, 500, 495, 5])
    assert clustering.cluster_sizes(labels) == {0: 500, 2: 495, 4: 5}
    assert clustering.effective_clusters(labels) == 2  # 5 of 1000 labelled points are a splinter
    assert clustering.effective_clusters(labels, min_share=0.005) == 3
    assert clustering.effective_clusters(np.repeat(np.arange(200), 3)) == 200  # each holds 0.5%, an even share
    assert clustering.effective_clusters([-1, -1]) == 0


def test_score_has_every_key_and_agrees_with_its_parts():
    rng = np.random.default_rng(4)
    pred, true = random_labels(4)
    points, noise = rng.normal(size=(60, 2)), rng.random(60) < 0.3
    scores = clustering.score(pred, true, noise, points)
    assert set(scores) == KEYS
    assert scores["acc"] == clustering.accuracy(pred, true)  # flagged points count by their label
    assert scores["acc_labelled"] == clustering.accuracy(pred[~noise], true[~noise])
    assert scores["noise_fraction"] == pytest.approx(noise.mean())
    assert scores["silhouette"] == clustering.silhouette(points, pred)
    assert scores["n_clusters"] == 4
    assert scores["effective_clusters"] == 4
    assert all(type(value) in (int, float) for value in scores.values())


def test_score_counts_noise_labels_as_wrong():
    scores = clustering.score([0, 0, 1, -1], [0, 0, 1, 1])
    assert scores["acc"] == pytest.approx(3 / 4)
    assert scores["acc_labelled"] == pytest.approx(1.0)
    assert scores["noise_fraction"] == pytest.approx(1 / 4)
    assert scores["n_clusters"] == 2


def test_score_without_labels_and_of_one_cluster():
    scores = clustering.score(np.zeros(5, int), embedding=np.eye(5))
    assert set(scores) == KEYS
    undefined = {"acc", "acc_labelled", "nmi", "ari", "homogeneity", "completeness", "silhouette", "calinski_harabasz"}
    assert {key for key, value in scores.items() if value is None} == undefined
    assert scores["perplexity"] == pytest.approx(1.0)
    assert scores["n_clusters"] == 1


def test_score_of_all_noise():
    scores = clustering.score([-1, -1, -1], [0, 1, 1], embedding=np.eye(3))
    assert scores["acc"] == 0.0
    assert scores["acc_labelled"] is None
    assert scores["perplexity"] is None
    assert scores["noise_fraction"] == 1.0
    assert scores["n_clusters"] == 0
    assert scores["effective_clusters"] == 0


def test_points_of_unknown_class_are_left_out():
    pred, true = np.array([0, 0, 1, 1, 1, -1, 0]), np.array([0, 0, 1, -1, 1, 1, -1])
    known = true >= 0
    noise = np.array([0, 0, 1, 0, 0, 0, 1], bool)
    ours, theirs = clustering.score(pred, true, noise), clustering.score(pred[known], true[known], noise[known])
    for key in ("acc", "acc_labelled", "nmi", "ari", "homogeneity", "completeness"):
        assert ours[key] == theirs[key]
    assert ours["acc"] == pytest.approx(4 / 5)
    assert ours["acc_labelled"] == pytest.approx(1.0)
    assert ours["noise_fraction"] == pytest.approx(3 / 7)
    assert clustering.score(pred, np.full(7, -1))["acc"] is None
    with pytest.raises(ValueError, match=r"\(7,\)"):
        clustering.accuracy(pred, np.full(7, -1))


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
        clustering.accuracy([0, 1, 2], [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        clustering.score([0, 1, 2], noise=np.zeros(2, bool))
    with pytest.raises(ValueError, match=r"\(4, 2\).*\(3,\)"):
        clustering.score([0, 1, 2], embedding=np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("pred", "true", "message"),
    [([], [], "at least 1"), ([0.5, 1.0], [0, 1], "integers"), ([-2, 0], [0, 1], "-1"), ([[0], [1]], [[0], [1]], "n,")],
)
def test_bad_labels(pred, true, message):
    with pytest.raises(ValueError, match=message):
        clustering.accuracy(pred, true)


def test_bad_embedding_and_noise():
    with pytest.raises(ValueError, match="NaN"):
        clustering.silhouette([[0.0], [np.nan]], [0, 1])
    with pytest.raises(ValueError, match="booleans"):
        clustering.noise_fraction([0, 1], [0, 2])
