"""What all configs share: lists from JSON become tuples, and every number lies within its bounds.

A bound belongs to a field's name; a config that needs another has it in OWN_BOUNDS. A test asks that each numeric
field has one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, get_args, get_origin, get_type_hints

from jaxclust.errors import InputError


class Bound(NamedTuple):
    """From `least` to `most`, allowed themselves unless `above` or `below`. filled: a tuple needs a number."""

    least: float
    above: bool = False
    most: float = math.inf
    below: bool = False
    filled: bool = True

    def holds(self, value: Any) -> bool:
        """Whether a number, or all of a tuple, lie within."""
        if isinstance(value, tuple):
            return (len(value) > 0 or not self.filled) and all(map(self.holds, value))
        enough = value > self.least if self.above else value >= self.least
        return enough and value != math.inf and (value < self.most if self.below else value <= self.most)

    def remedy(self, infinite: bool) -> str:
        """'a number above 0'. infinite: whether that is what is to be mended."""
        lower = f"above {self.least:g}" if self.above else f"of at least {self.least:g}"
        if self.most == math.inf:
            return f"a finite number {lower}" if infinite else f"a number {lower}"
        return f"a share {lower} and {'below' if self.below else 'at most'} {self.most:g}"


POSITIVE, COUNT, NOT_NEGATIVE, SHARE = Bound(0, True), Bound(1), Bound(0), Bound(0, True, 1)

BOUNDS = {
    **dict.fromkeys(("n_clusters", "max_clusters", "active_clusters", "umap_neighbors"), Bound(2)),
    **dict.fromkeys(
        (
            "batch_size", "channels", "concurrent", "critic_widths", "draws", "expert_batch_size", "expert_min_filters",
            "groups", "iterations", "latent_dim", "max_samples", "max_steps", "min_filters", "min_samples",
            "mixture_runs", "neighbors", "noise_dim", "prior_hidden", "reconstruction_size", "restarts",
            "search_latent_dim", "top_experts", "umap_components", "umap_epochs", "noise_weight",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        (
            "annealing_epochs", "attention_epochs", "classifier_epochs", "epochs", "expert_epochs", "guided_epochs",
            "head_epochs", "manager_epochs", "mixture_epochs", "module_epochs", "pretrain_epochs", "search_epochs",
            "classifier_learning_rate", "critic_learning_rate", "discriminator_learning_rate", "expert_learning_rate",
            "generator_learning_rate", "head_learning_rate", "learning_rate", "manager_learning_rate",
            "mixture_learning_rate", "clustering_weight", "expert_width", "generator_width", "max_doubt", "max_ncut",
            "reconstruction_weight", "refinement_steps", "sharpness", "width",
        ),
        POSITIVE,
    ),
    **dict.fromkeys(
        (
            "adversarial_weight", "alpha", "batch_entropy_weight", "beta", "brightness", "classifier_weight",
            "cluster_group", "consistency_weights", "decoder_extra", "encoder_extra", "expert_kl_weight", "kl_weight",
            "l1_means", "last_noise_variance", "least", "matching_weight", "min_dist", "min_steps", "more_epochs",
            "noise_variance", "orthonormality", "real_weight", "reconstruction_weights", "refinements",
            "regularisation", "rotation", "sample_entropy_weight", "settled", "shear", "shift", "umap_min_dist",
            "wae_weight",
        ),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(
        (
            "explained_variance", "expert_explained_variance", "group_decay", "held_out",
        ),
        SHARE,
    ),
    **dict.fromkeys(("kl_ramp", "least_share", "prior_share"), Bound(0, False, 1)),
    **dict.fromkeys(("consistency_epochs", "reconstruction_epochs"), Bound(0, filled=False)),
    **dict.fromkeys(("assigner_hidden", "expert_hidden", "hidden"), Bound(1, filled=False)),
    "min_cluster_share": Bound(0, True, 1, below=True),
    "min_share": Bound(0, True, 0.5, below=True),
    "zoom": Bound(0, False, 1, below=True),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """A config. Raises InputError for a value out of its bounds. OWN_BOUNDS: those that differ from BOUNDS."""

    OWN_BOUNDS: ClassVar[Mapping[str, Bound]] = {}

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # JSON gives a list
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            bound = self.OWN_BOUNDS.get(field.name, BOUNDS.get(field.name))
            if bound and is_number(value) and not bound.holds(value):
                words = "".join(f", or {word}" for word in choices(hints[field.name]))
                raise InputError(f"{field.name} is {value}: give {bound.remedy(value == math.inf)}{words}")


def is_number(value: Any) -> bool:
    """Whether it is a number, or a tuple of numbers or nothing."""
    if isinstance(value, tuple):
        return all(map(is_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def choices(hint: Any) -> list[str]:
    """The words that a field may be instead of a number: int | Literal['auto'] -> ['auto']."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    return [word for part in get_args(hint) if get_origin(hint) is not tuple for word in choices(part)]
