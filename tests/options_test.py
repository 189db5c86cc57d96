"""Wrong options are one line with the nearest name: on the command line, in estimators, in presets."""

import numpy as np
import pytest

import jaxclust
from jaxclust import InputError, cli, methods
from jaxclust.errors import nearest


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("predikt a b", "command 'predikt' is unknown: choose one of fit, predict, "),
        ("fit moe-vea iris", "(did you mean moe-vae?)"),
        ("fit kmeans iris --preset pper", "(did you mean paper?)"),
        (
            "fit kmeans iris --n-cluster 3",
            "option --n-cluster is unknown (did you mean --n-clusters?): jaxclust fit kmeans --help explains",
        ),
        ("fit kmeans iris --n_cluster=3", "option --n-cluster is unknown (did you mean --n-clusters?)"),
        ("fit kmeans iris --hidden 3", "option --hidden is unknown: jaxclust fit kmeans --help explains"),
        ("fit kmeans iris --n-clusters three", "--n-clusters is 'three', which is no number: "),
        ("fit kmeans iris --seed x", "--seed is 'x', which is no number: "),
        ("fit moe-vae iris --n-clusters Auto", "--n-clusters is 'Auto', which is no number (did you mean auto?)"),
        ("fit kmeans iris --scaling standart", "--scaling is 'standart': give 'standard' | 'minmax' | 'maxabs'"),
        ("fit kmeans iris --scaling standart", "(did you mean standard?)"),
        ("fit kmeans iris --n-clusters", "--n-clusters"),
        ("fit kmeans iris extra", "extra"),
        ("fit kmeans", "DATA is missing: jaxclust fit kmeans --help explains"),
        ("predict", "RUN, DATA are missing: jaxclust predict --help explains"),
        ("sample run --clster=3", "option --clster is unknown (did you mean --cluster?)"),
        ("fit kmeans iris --no-figures --quiet 3", "3 is one argument too many"),
        ("fit ae-kmeans iris --hidden 4,4", "--hidden is '4,4': write --hidden 4 4: "),
        ("fit ae-kmeans iris --hidden x", "--hidden may not be 'x': "),
        ("doctor --all", "option --all is unknown: jaxclust doctor has none"),
        ("fit kmeans iris --n-clusters 3 --mesh data=99", "takes 99 devices: there are"),
        ("methods --all", "option --all is unknown"),
    ],
)
def test_on_the_command_line(arguments, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jaxclust: error: ")
    assert err.count("\n") == 1
    assert line in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("random_state", "KMeans has no parameter 'random_state' (did you mean seed?)"),
        ("n_cluster", "KMeans has no parameter 'n_cluster' (did you mean n_clusters?)"),
        ("colour", "KMeans has no parameter 'colour': help() of it lists all"),
    ],
)
def test_of_an_estimator(name, said):
    for kind in (InputError, TypeError):
        with pytest.raises(kind) as caught:
            jaxclust.KMeans(**{name: 3})
        assert said in str(caught.value)


@pytest.mark.parametrize("seed", [None, 3.0, "3", True, -1, 2**32, np.random.RandomState(0)])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match=r"^seed is .*: give a whole number from 0 to 2"):
        jaxclust.KMeans(n_clusters=2, seed=seed).fit(np.eye(9))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"scaling": "standart"}, "(did you mean standard?)"),
        ({"scaling": "Standard"}, "(did you mean standard?)"),
        ({"preset": "papr"}, "(did you mean paper?)"),
        ({"preset": 3}, "preset 3 is unknown"),
        ({"n_clusters": "3"}, "n_clusters is '3': give a whole number"),
        ({"n_clusters": 3.0}, "n_clusters is 3.0: give a whole number"),
    ],
)
def test_values(parameters, said):
    with pytest.raises(InputError) as caught:
        jaxclust.KMeans(**parameters).fit(np.eye(9))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_methods_that_are_no_strings():
    with pytest.raises(InputError, match="method 3 is unknown"):
        methods.find(3)


def test_nearest():
    assert nearest("Mnits", ["mnist", "usps"]) == " (did you mean mnist?)"
    assert nearest("moe_vae", ["MoE-VAE"]) == " (did you mean MoE-VAE?)"
    assert nearest("x", ["mnist", "usps"]) == ""
