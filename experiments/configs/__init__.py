"""Rows of the tables, one module each: what is run, on which data, and what the text reports for it.

A module states METHOD, DATA, PRESET, OVERRIDES (fields of the method's config, on top of the preset), SEEDS and TEXT
(published numbers: 'acc' and 'manager', shares; 'n_clusters'); SPLIT is 'all' unless it states 'train', and then the
model labels the test split after fitting. DATA is a name that `jaxclust fit` takes, or a file in
the directory JAXCLUST_DATA, by default ../shared/data beside the repository.
"""

import dataclasses
import importlib
import json
import os
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from jaxclust import atomic, methods
from jaxclust.errors import InputError

ROOT = Path(__file__).parents[2]
OUT = ROOT / "experiments" / "out"
HELD_OUT = "held_out.json"  # in a run fitted to the training split: the scores of the test split
FILES = (".npz", ".npy", ".idx", ".gz")


class Row(NamedTuple):
    """One module of this package. about: its docstring."""

    name: str
    method: str
    data: str
    preset: str
    overrides: Mapping[str, Any]
    seeds: tuple[int, ...]
    text: Mapping[str, float]
    about: str
    split: str = "all"


def names() -> list[str]:
    """All rows, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Row:
    """The row called `name`. Raises InputError for an unknown one."""
    if name not in names():
        raise InputError(f"experiment {name!r} is unknown: choose one of {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return Row(
        name,
        module.METHOD,
        module.DATA,
        module.PRESET,
        module.OVERRIDES,
        tuple(module.SEEDS),
        module.TEXT,
        module.__doc__ or "",
        getattr(module, "SPLIT", "all"),
    )


def data_of(row: Row) -> str:
    """DATA for `jaxclust fit`. Raises InputError for a file that is not there."""
    if not row.data.endswith(FILES):
        return row.data
    directory = Path(os.environ.get("JAXCLUST_DATA") or ROOT.parent / "shared" / "data")
    path = directory / row.data
    if not path.is_file():
        raise InputError(f"{path}: is missing: set JAXCLUST_DATA to the directory that holds {row.data}")
    return str(path)


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


def differences(row: Row, config: Mapping[str, Any]) -> list[str]:
    """Settings in which a run, by its config.json, is not what the row states today: their names, best none."""
    stated = json.loads(json.dumps(atomic.plain(dataclasses.asdict(config_of(row)))))
    ran = config.get("config", {})
    changed = [name for name in {**stated, **ran} if stated.get(name) != ran.get(name)]
    if config.get("method") != row.method:
        changed.insert(0, "method")
    if Path(config.get("data", "")).name != row.data:
        changed.insert(0, "data")
    if config.get("split", "all") != row.split:
        changed.insert(0, "split")
    return changed
