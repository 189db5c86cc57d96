"""Bounds of settings: every number of every config has one, and a value outside is refused by name, with a remedy."""

import dataclasses
from typing import get_args, get_type_hints

import pytest

from jaxclust import methods
from jaxclust.errors import InputError
from jaxclust.methods.shared.settings import BOUNDS, Bound

CONFIGS = {name: methods.find(name).Config for name in methods.METHODS}


def kinds(hint):
    return {hint} | {kind for part in get_args(hint) if not isinstance(part, str) for kind in kinds(part)}


def numeric(config):
    hints = get_type_hints(config)
    return [field.name for field in dataclasses.fields(config) if kinds(hints[field.name]) & {int, float}]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_has_a_bound(name):
    assert [field for field in numeric(CONFIGS[name]) if field not in BOUNDS] == []


def test_no_bound_is_left_over():
    assert set(BOUNDS) == {field for config in CONFIGS.values() for field in numeric(config)}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_number_below_its_bound_is_refused(name):
    quick = methods.find(name).presets["quick"]
    for field in numeric(CONFIGS[name]):
        bound = CONFIGS[name].OWN_BOUNDS.get(field, BOUNDS[field])
        low = int(bound.least) - (not bound.above)
        low = (low,) if isinstance(getattr(quick, field), tuple) else low
        with pytest.raises(InputError, match=rf"^{field} is .*: give a "):
            dataclasses.replace(quick, **{field: low})


@pytest.mark.parametrize(
    ("name", "field", "value", "line"),
    [
        ("moe-vae", "top_experts", 0, "top_experts is 0: give a number of at least 1, or all"),
        ("moe-vae", "latent_dim", 0, "latent_dim is 0: give a number of at least 1, or auto"),
        ("moe-vae", "alpha", -1.0, "alpha is -1.0: give a number of at least 0"),
        ("moe-vae", "explained_variance", 1.5, "explained_variance is 1.5: give a share above 0 and at most 1"),
        ("moe-vae", "learning_rate", float("nan"), "learning_rate is nan: give a number above 0"),
        ("hrwae-gan", "critic_widths", (), "critic_widths is (): give a number of at least 1"),
        ("hc-mgan", "max_samples", 3, "max_samples is 3: give a number of at least 4"),
        ("hc-mgan", "min_share", 0.5, "min_share is 0.5: give a share above 0 and below 0.5"),
        ("n2d", "hidden", (5, 0), "hidden is (5, 0): give a number of at least 1"),
        ("hrwae-gan", "prior_share", -0.1, "prior_share is -0.1: give a share of at least 0 and at most 1"),
    ],
)
def test_the_line_names_field_value_and_remedy(name, field, value, line):
    with pytest.raises(InputError) as caught:
        dataclasses.replace(methods.find(name).presets["quick"], **{field: value})
    assert str(caught.value) == line


def test_bounds():
    assert Bound(0).holds(0)
    assert not Bound(0, above=True).holds(0)
    assert Bound(0, True, 1).holds(1)
    assert not Bound(0, True, 1).holds(1.001)
    assert not Bound(1).holds(())
    assert Bound(1, filled=False).holds(())
    assert not Bound(1).holds((1, 0))
