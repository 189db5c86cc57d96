"""Rows of the tables: what is run, on which data, and what the text reports for it.

A module states ROWS, the lines of a table. Each has the method, the data, the preset, fields of the method's config on
top of it, the seeds, and the text's numbers ('acc', 'nmi', 'ari', 'manager' and 'lsp_ari', shares; 'n_clusters'). The
split is 'all', or 'train': then the model labels the test split after fitting. Data are a name that `jaxclust fit`
takes, or a file in the directory JAXCLUST_DATA (data_files.py), or one that imbalance.py or cluster_sets.py makes of
such a file.
"""

import dataclasses
import difflib
import importlib
import json
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from experiments import cluster_sets, data_files, imbalance
from jaxclust import methods
from jaxclust.errors import InputError
from jaxclust.system import atomic

ROOT = data_files.ROOT
OUT = ROOT / "experiments" / "out"
HELD_OUT = "held_out.json"  # in a run fitted to the training split: the scores of the test split
DIVERGED = ".diverged"  # a file SEED.diverged stands for a run whose training diverged: that leaves no directory
FILES = (".npz", ".npy", ".idx", ".gz")


class Row(NamedTuple):
    """A line of a table. table: the module that states it; about: that module's docstring."""

    name: str
    method: str
    data: str
    preset: str
    overrides: Mapping[str, Any]
    seeds: tuple[int, ...]
    text: Mapping[str, float]
    about: str = ""
    split: str = "all"
    table: str = ""


def shares(ari: float, nmi: float, acc: float, lsp_ari: float | None = None) -> dict[str, float]:
    """TEXT from published numbers, which are in hundredths; lsp_ari: the ARI of the restart that L_sp picks."""
    given = {"ari": ari, "nmi": nmi, "acc": acc, "lsp_ari": lsp_ari}
    return {name: round(value / 100, 5) for name, value in given.items() if value is not None}


@cache
def tables() -> dict[str, tuple[Row, ...]]:
    """The rows of each module of this package, by its name."""
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        found[name] = tuple(row._replace(about=module.__doc__ or "", table=name) for row in module.ROWS)
    return found


def names() -> list[str]:
    """All rows, by name."""
    return sorted(row.name for rows in tables().values() for row in rows)


def find(name: str) -> Row:
    """The row called `name`. Raises InputError for an unknown one."""
    for rows in tables().values():
        for row in rows:
            if row.name == name:
                return row
    known = difflib.get_close_matches(name, names()) or list(tables())
    raise InputError(f"experiment {name!r} is unknown: choose one of {', '.join(known)}")


def of(name: str) -> tuple[Row, ...]:
    """All rows of the module called `name`, or else the row called so. Raises InputError where there is neither."""
    return tables()[name] if name in tables() else (find(name),)


def starting(prefix: str) -> list[Row]:
    """The rows whose own name or whose module's starts with `prefix`, module by module."""
    rows = (row for rows in tables().values() for row in rows)
    return [row for row in rows if row.name.startswith(prefix) or row.table.startswith(prefix)]


def data_of(row: Row) -> str:
    """DATA for `jaxclust fit`. Raises InputError for a file that is not there."""
    if not row.data.endswith(FILES):
        return row.data
    if Path(row.data).stem in cluster_sets.MADE:
        return str(cluster_sets.file(Path(row.data).stem, OUT / "data"))
    if made := imbalance.NAME.fullmatch(row.data):
        data_files.path(f"{made['source']}.npz")
        return str(imbalance.file(row.data, data_files.directory(), OUT / "data"))
    return str(data_files.path(row.data))


def config_of(row: Row) -> Any:
    """The method's config: the preset with the row's overrides."""
    return dataclasses.replace(methods.find(row.method).presets[row.preset], **row.overrides)


def arguments(row: Row, seed: int, data: str, out: Path) -> list[str]:
    """The row as arguments of `jaxclust`: fields that differ from the preset become options."""
    preset = methods.find(row.method).presets[row.preset]
    hints = get_type_hints(type(preset))
    options = ["--preset", row.preset, "--seed", str(seed), "--split", row.split, "--out", str(out)]
    for name, value in row.overrides.items():
        if value == getattr(preset, name):
            continue
        flag = name.replace("_", "-")
        if hints[name] is bool:
            options.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple | list):
            options += [f"--{flag}", *map(str, value)]
        else:
            options += [f"--{flag}", str(value)]
    return ["fit", row.method, data, *options]


def stated(row: Row) -> dict[str, Any]:
    """What config.json of a run of the row holds, as far as the row states it."""
    config = json.loads(json.dumps(atomic.plain(dataclasses.asdict(config_of(row)))))
    return {"method": row.method, "data": row.data, "split": row.split, "config": config}


def diverged(row: Row, out: Path) -> list[int]:
    """The seeds whose training diverged with the settings that the row states today, by their marks under `out`."""
    marks = (out / row.name).glob(f"*{DIVERGED}")
    return sorted(int(mark.stem) for mark in marks if not differences(row, json.loads(mark.read_text())))


def differences(row: Row, config: Mapping[str, Any]) -> list[str]:
    """Settings in which a run, by its config.json, is not what the row states today: their names, best none."""
    fields, ran = stated(row)["config"], config.get("config", {})
    changed = [name for name in {**fields, **ran} if fields.get(name) != ran.get(name)]
    if config.get("method") != row.method:
        changed.insert(0, "method")
    if Path(config.get("data", "")).name != row.data:
        changed.insert(0, "data")
    if config.get("split", "all") != row.split:
        changed.insert(0, "split")
    return changed
