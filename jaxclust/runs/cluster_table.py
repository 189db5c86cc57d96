"""clusters.csv: a table with a line for each cluster.

cluster, name      its number, and the name that a user gave it
size               members
certainty          their mean largest probability
noise              share of them that the density clustering left out
density            see `cards.Card`
nearest            the cluster whose mean embedding is nearest
medoid             file, name or row of the member with the least squared distance to all others
exemplar_1, ...    the five next ones
class NAME         members of each class, where classes are known
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from jaxclust.models import Assignments
from jaxclust.runs import cards

NAME = "clusters.csv"
EXEMPLARS = 5
WHOLE, SHARES = ("cluster", "size", "nearest"), ("certainty", "noise", "density")
CLASS = "class "  # before the name of a class, in a title


class Table(list[dict[str, Any]]):
    """Rows, each of them a dict of the same titles: pandas.DataFrame takes it; it shows as text and in notebooks."""

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        from html import escape

        titles, cells = list(self[0]) if self else [], [map(shown, row.values()) for row in self]
        head = "".join(f"<th>{escape(title)}</th>" for title in titles)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table(
    assigned: Assignments,
    cluster_names: Sequence[str] = (),
    classes: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> Table:
    """The table of K clusters.

    cluster_names: of all clusters, '' for those without; or none.  classes: (n,) int, -1 unknown; class_names: of 0, ..
    """
    known = classes is not None and bool((classes >= 0).any())
    counted = {} if classes is None or not known else _class_counts(assigned, classes, class_names)
    found = Table()
    for k, card in enumerate(cards.cards(assigned, None)):
        stand = [row if assigned.names is None else assigned.names[row] for row in card.exemplars[: EXEMPLARS + 1]]
        stand += [""] * (EXEMPLARS + 1 - len(stand))
        found.append(
            {
                "cluster": k,
                "name": cluster_names[k] if cluster_names else "",
                "size": card.size,
                "certainty": _rounded(card.certainty),
                "noise": _rounded(card.noise / card.size if card.size else None),
                "density": _rounded(card.density),
                "nearest": card.nearest[0] if card.nearest else None,
                "medoid": stand[0],
                **{f"exemplar_{i}": one for i, one in enumerate(stand[1:], 1)},
                **{title: int(counts[k]) for title, counts in counted.items()},
            }
        )
    return found


def lines(of: Table) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
    """Titles and rows of clusters.csv."""
    return tuple(of[0]), (tuple("" if cell is None else cell for cell in row.values()) for row in of)


def parsed(rows: Iterable[dict[str, str]]) -> Table:
    """The inverse of `lines`. Raises KeyError or ValueError for what is no such table."""

    def cell(title: str, text: str) -> Any:
        if title in WHOLE or title.startswith(CLASS):
            return int(text) if text else None
        return (float(text) if text else None) if title in SHARES else text

    found = Table({title: cell(title, text) for title, text in row.items()} for row in rows)
    if not found or [row["cluster"] for row in found] != list(range(len(found))) or "name" not in found[0]:
        raise ValueError("it has no line for each cluster")
    return found


def with_counts(of: Table, other: Table | None) -> Table:
    """A table with the class counts of another one of the same clusters."""
    rows: Sequence[dict[str, Any]] = other if other is not None and len(other) == len(of) else [{}] * len(of)
    counts = [{title: cell for title, cell in row.items() if title.startswith(CLASS)} for row in rows]
    return Table(row | own for row, own in zip(of, counts, strict=True))


def text(of: Table, most: int | None = None) -> str:
    """Some columns with all rows, or none where there are more than `most`, for a terminal.

    The largest class of each cluster stands for its counts.
    """
    if not of or (most is not None and len(of) > most):
        return ""
    titles = [title for title in ("cluster", "name", "size", "certainty", "noise", "density", "nearest", "medoid")
              if title != "name" or any(row["name"] for row in of)]  # fmt: skip
    rows = [[*titles, *(["largest class"] if any(_counts(row) for row in of) else [])]]
    for row in of:
        cells = [shown(row[title]) for title in titles]
        if len(rows[0]) > len(titles):
            counts = _counts(row)
            largest = max(counts, key=lambda name: counts[name])
            cells.append(f"{shown(largest)} {counts[largest] / row['size']:.0%}" if counts[largest] else "")
        rows.append(cells)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _counts(row: dict[str, Any]) -> dict[str, int]:
    return {title.removeprefix(CLASS): count for title, count in row.items() if title.startswith(CLASS)}


def _class_counts(
    assigned: Assignments, classes: np.ndarray, class_names: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Of each class that there is, its title and how many of each cluster's members are of it."""
    known = classes >= 0
    present = np.unique(classes[known])
    counts = np.zeros((len(present), assigned.probabilities.shape[1]), int)
    np.add.at(counts, (np.searchsorted(present, classes[known]), assigned.labels[known]), 1)
    named = [str(c) if class_names is None else str(class_names[c]) for c in present]
    return {f"{CLASS}{name}": row for name, row in zip(named, counts, strict=True)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def shown(cell: Any, most: int = 40) -> str:
    """A cell in one line of a terminal, the end of a long one."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.3f}"
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(cell))
    return line if len(line) <= most else f"…{line[1 - most :]}"
