"""What a user wants done to the clusters of a run, as the page saves it (edits.json) and as commands and Python say it.

    {"format": 1, "run": {...}, "names": {"0": "cats"}, "merge": [[3, 7]], "split": [4], "recluster": ["noise"]}

Numbers are the run's own clusters. All of it is done to that run at once: clusters are joined, then divided, then what
is noise is clustered.
"""

import csv
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxclust.errors import InputError
from jaxclust.runs import lifecycle

FORMAT = 1
LONGEST = 80  # characters of a name
KNOWN = ("format", "run", "names", "merge", "split", "recluster")
SAME = ("method", "data_fingerprint", "seed", "n_clusters")  # what says that edits are for a run
NOISE = "noise"
DELIMITERS = ",;\t"

Into = int | Literal["auto"]


class Edits(NamedTuple):
    """names: of some clusters, '' takes one away.  merge: groups that become one.  split: clusters that become `into`
    clusters each.  recluster: whether noise is clustered anew."""

    names: Mapping[int, str] = {}
    merge: tuple[tuple[int, ...], ...] = ()
    split: tuple[int, ...] = ()
    into: Into = "auto"
    recluster: bool = False


def read(path: Path) -> tuple[Edits, dict[str, Any]]:
    """Edits from a file, and what it says of the run that they are for: edits.json; or names from a clusters.csv.

    Raises InputError, naming the file, for what is neither.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: give the edits.json that the page of a run saved")
    if path.suffix.lower() == ".csv":
        return Edits(names=_of_table(path)), {}
    try:
        value = lifecycle.read_json(path)
    except InputError as error:
        raise InputError(f"{path}: is no edits.json: save it from the page of a run again") from error
    return parse(value, str(path)), value["run"] if isinstance(value.get("run"), dict) else {}


def parse(value: Mapping[str, Any], where: str) -> Edits:
    """Edits of a JSON object. where: the first words of an error. Raises InputError for what is not as it should be."""
    if value.get("format", FORMAT) != FORMAT:
        raise InputError(f"{where}: format {value['format']!r} is not {FORMAT}: use the jaxclust whose page wrote it")
    for name in value:
        if name not in KNOWN:
            raise InputError(f"{where}: {name!r} is unknown: give {', '.join(KNOWN[2:])}")
    names, merge, split = value.get("names", {}), value.get("merge", []), value.get("split", [])
    again = value.get("recluster", [])
    if not isinstance(names, Mapping):
        raise InputError(f'{where}: "names" is {_short(names)}: give an object such as {{"0": "cats"}}')
    if not isinstance(merge, list | tuple) or not all(isinstance(group, list | tuple) for group in merge):
        raise InputError(f'{where}: "merge" is {_short(merge)}: give lists of clusters, such as [[3, 7]]')
    if not isinstance(split, list | tuple):
        raise InputError(f'{where}: "split" is {_short(split)}: give a list of clusters, such as [4]')
    if again not in ([], [NOISE]):
        raise InputError(f'{where}: "recluster" is {_short(again)}: give ["{NOISE}"], or nothing')
    return Edits(
        {number(k, where): _name(name, where) for k, name in names.items()},
        tuple(tuple(number(k, where) for k in group) for group in merge),
        tuple(number(k, where) for k in split),
        recluster=bool(again),
    )


def plain(edits: Edits) -> dict[str, Any]:
    """As JSON, what there is of them."""
    found = {
        "names": {str(k): name for k, name in edits.names.items()},
        "merge": [list(group) for group in edits.merge],
        "split": list(edits.split),
        "into": edits.into if edits.split and edits.into != "auto" else None,
        "recluster": [NOISE] if edits.recluster else [],
    }
    return {name: value for name, value in found.items() if value}


def check(edits: Edits, n_clusters: int, where: str) -> None:
    """Raises InputError for clusters that there are not, that are to be several things at once, and for no edits."""
    if not plain(edits):
        raise InputError(f"{where}: holds no edits: give names, merges or splits")
    for k in (*edits.names, *(k for group in edits.merge for k in group), *edits.split):
        if not 0 <= k < n_clusters:
            raise InputError(f"{where}: cluster {k} does not exist: choose of 0 to {n_clusters - 1}")
    for group in edits.merge:
        if len(group) < 2:
            raise InputError(f"{where}: {list(group)} is one cluster: give two or more to merge")
    merged = _twice((k for group in edits.merge for k in group), where, "is in several merges, or in one twice")
    for k in _twice(edits.split, where, "is to be split twice"):
        if k in merged:
            raise InputError(f"{where}: cluster {k} is to be merged and to be split: choose one")
    left = n_clusters - sum(len(group) - 1 for group in edits.merge)
    if left < 2:
        raise InputError(f"{where}: one cluster would be left: merge fewer")
    if edits.into != "auto" and (
        isinstance(edits.into, bool) or not isinstance(edits.into, Integral) or edits.into < 2
    ):
        raise InputError(f"{where}: a cluster cannot be split into {edits.into!r}: give at least 2, or auto")


def check_run(of: Mapping[str, Any], config: Mapping[str, Any], n_clusters: int, where: str, run: Path) -> None:
    """Raises InputError where edits say that they are for another run."""
    own = {**config, "n_clusters": n_clusters}
    for name in SAME:
        if name in of and name in own and of[name] != own[name]:
            raise InputError(f"{where}: is for a run with {name} {_short(of[name])}, {run} has {_short(own[name])}: "
                             "give the run whose page saved it")  # fmt: skip


def number(value: Any, where: str) -> int:
    """A cluster's number. Raises InputError for anything else."""
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(f"{where}: {_short(value)} is no cluster: give its number, from 0")
    return int(text)


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: name {_short(value)} is no text: put it into quotes")
    name = value.strip()
    if len(name) > LONGEST:
        raise InputError(f"{where}: the name {_short(name)} has {len(name)} characters: give at most {LONGEST}")
    if any("\ud800" <= c <= "\udfff" or c == "\0" for c in name):
        raise InputError(f"{where}: the name {name!a} is no text: give another")
    return name


def _twice(numbers: Iterable[int], where: str, what: str) -> set[int]:
    """The numbers. Raises InputError for one that is there twice."""
    seen: set[int] = set()
    for k in numbers:
        if k in seen:
            raise InputError(f"{where}: cluster {k} {what}: give it once")
        seen.add(k)
    return seen


def _of_table(path: Path) -> dict[int, str]:
    """The names of a clusters.csv, as a user edited it."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            by = max(DELIMITERS, key=first.count)  # spreadsheets of some languages write others
            rows = list(csv.DictReader(file, delimiter=by))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}): save it as CSV in UTF-8") from error
    if not rows or not {"cluster", "name"} <= set(rows[0]):
        raise InputError(f"{path}: has no columns 'cluster' and 'name': give the clusters.csv of a run")
    return {number(row["cluster"], str(path)): _name(row["name"] or "", str(path)) for row in rows}


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:39]}..."
