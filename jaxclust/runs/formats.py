"""Settings of models that earlier versions saved, said as today's: model.json names the format that it was written in.

    format 1    0.1 until several draws gave the number of clusters
    format 2    0.1 until damic and mixae were methods of their own, and not options of moe-vae
    format 3    today's

A table says for each older format which settings went, and what those that came since are in a model of that time.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxclust.errors import InputError

FORMAT = 3  # what is written today


class Change(NamedTuple):
    """From a format to the next one: settings that went, and those that came, with the values that older models had."""

    went: tuple[str, ...] = ()
    came: Mapping[str, Any] = {}


HDBSCAN = {"min_cluster_share": 0.02, "min_samples": 10}  # of the text's own rule
CHANGES: Mapping[int, Mapping[str, Change]] = {
    1: {
        "moe-vae": Change(
            ("min_cluster_shares",),
            {"granularity": "auto", "mixture_runs": 1, "stem": "pair", "warm_start": False, **HDBSCAN},
        ),
        "hrwae-gan": Change(("min_cluster_shares",), {"granularity": "auto", "umap_metric": "euclidean", **HDBSCAN}),
        "cm": Change((), {"granularity": "auto"}),
        "ae-cm": Change((), {"granularity": "auto", "schedule": "constant", "widen": False}),
        "vc": Change((), {"granularity": "auto"}),
        "n2d": Change((), {"granularity": "auto", "draws": 4, "min_steps": 0}),
    },
    2: {"moe-vae": Change(("loss", "pretrain"))},  # of the training alone: a fitted model is the same without them
}


def check(format: Any, path: Any) -> int:
    """A format that can be read. Raises InputError for another one, naming the file."""
    if not isinstance(format, int) or not 1 <= format <= FORMAT:
        raise InputError(
            f"{path}: format {format!r} is none of 1 to {FORMAT}: use the jaxclust that wrote it, or newer"
        )
    return format


def translated(format: int, method: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a method that were saved in an older format, as those of today."""
    settings = dict(config)
    for older in range(format, FORMAT):
        change = CHANGES[older].get(method, Change())
        settings = {name: value for name, value in settings.items() if name not in change.went}
        settings = {**change.came, **settings}
    return settings
