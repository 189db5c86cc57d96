"""What is said of each cluster: size, certainty, density, who stands for it, who is in doubt, who is near."""

from typing import Any, NamedTuple

import numpy as np

from jaxclust.models import Assignments

SHOWN = 12  # exemplars, and as many borderline members
NEAREST = 3
CLASSES = 4


class Card(NamedTuple):
    """One cluster.

    exemplars: rows of the members nearest to the mean embedding, nearest first.  borderline: of those whose two largest
    probabilities differ least.  certainty: mean largest probability, None where there are no members.  nearest: other
    clusters by the distance of mean embeddings.  classes: the largest classes with their counts, where known.
    density: the mean distance of all examples to their clusters' mean embeddings, divided by that of the members: above
    1 they lie closer together than elsewhere; None where they all lie in one place.
    """

    size: int
    noise: int
    certainty: float | None
    exemplars: list[int]
    borderline: list[int]
    nearest: list[int]
    classes: list[tuple[int, int]]
    density: float | None


def cards(assigned: Assignments, classes: np.ndarray | None) -> list[Card]:
    """A card for each of K clusters. classes: (n,) int, -1 unknown, or None."""
    n_clusters = assigned.probabilities.shape[1]
    embedding = np.asarray(assigned.embedding, np.float32)
    members = [np.flatnonzero(assigned.labels == k) for k in range(n_clusters)]
    means = np.stack([embedding[of].mean(0) if len(of) else np.full(embedding.shape[1], np.nan) for of in members])
    highest = np.sort(np.partition(assigned.probabilities, -2, 1)[:, -2:], 1) if n_clusters > 1 else None
    distances = [np.sqrt(np.square(embedding[of] - means[k]).sum(1)) for k, of in enumerate(members)]
    usual = sum(float(apart.sum()) for apart in distances) / max(len(embedding), 1)
    made = []
    for k, (of, apart) in enumerate(zip(members, distances, strict=True)):
        margin = assigned.probabilities[of, 0] if highest is None else highest[of, 1] - highest[of, 0]
        certainty = float(assigned.probabilities[of].max(1).mean()) if len(of) else None
        made.append(
            Card(
                len(of),
                int(assigned.noise[of].sum()),
                certainty,
                of[np.argsort(apart, kind="stable")[:SHOWN]].tolist(),
                of[np.argsort(margin, kind="stable")[: min(SHOWN, len(of) // 2)]].tolist(),
                _nearest(means, k),
                [] if classes is None else _classes(classes[of]),
                usual / float(apart.mean()) if apart.any() else None,
            )
        )
    return made


def listed(made: list[Card]) -> np.ndarray:
    """Rows that some card shows, each once, sorted."""
    rows = [row for card in made for row in (*card.exemplars, *card.borderline)]
    return np.unique(np.array(rows, np.int64))


def plain(made: list[Card]) -> list[dict[str, Any]]:
    """As JSON."""
    return [card._asdict() for card in made]


def _nearest(means: np.ndarray, k: int) -> list[int]:
    apart = np.square(means - means[k]).sum(1)
    apart[k] = np.nan
    order = np.argsort(apart, kind="stable")
    return [int(other) for other in order[:NEAREST] if np.isfinite(apart[other])]


def _classes(of: np.ndarray) -> list[tuple[int, int]]:
    known, counts = np.unique(of[of >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CLASSES]
    return [(int(known[i]), int(counts[i])) for i in order]
