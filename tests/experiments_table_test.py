"""The table of the experiments computes what it says."""

import json
import re

import numpy as np

from experiments import configs, table
from tests.made_up_runs import columns, metrics, write


def test_the_settings_of_a_row_are_in_the_table(tmp_path):
    row = configs.find("moe_vae_digits_wae_gan")
    assert columns(table.table([row], tmp_path))["settings"] == "quick, autoencoder=wae, wae_penalty=gan"


def test_the_table_s_arithmetic(tmp_path):
    row = configs.find("moe_vae_usps")
    managers = ({"manager": {"acc": 0.80}}, {"manager": {"acc": 0.90}}, {})
    for seed, acc, k, opinions in zip((0, 1, 10), (0.96, 0.97, 0.98), (10, 9, 11), managers, strict=True):
        write(tmp_path, row, metrics(seed, acc=acc, n_clusters=k, opinions=opinions, seconds=100.0 + seed))
    found = columns(table.table([row], tmp_path))
    assert found == {
        "data": "usps (n = 100, split all)",
        "settings": "quick",
        "n seeds": "3",
        "ACC %": "97.0 ± 1.0",
        "ACC % manager only": "85.0 ± 7.1",  # of the two that have one: sqrt(2 * 0.05^2)
        "ACC % held out": "-",
        "NMI %": "80.0 ± 0.0",
        "ARI %": "70.0 ± 0.0",
        "K by seed": "10 9 11",
        "noise %": "2.0 ± 0.0",
        "seconds": "104 ± 6",  # 100, 101, 110: squares 13.4 + 7.1 + 40.1 over 2, root 5.5
        "peak memory MB": "1000 ± 0",
        "text: ACC %": "98.6",
        "text: manager only": "97.1",
        "text: K": "10",
    }


def test_one_run_has_no_spread_and_none_no_numbers(tmp_path):
    row = configs.find("moe_vae_digits")
    empty = columns(table.table([row], tmp_path))
    assert (empty["n seeds"], empty["ACC %"], empty["K by seed"], empty["text: ACC %"]) == ("0", "-", "-", "-")
    write(tmp_path, row, metrics(0, peak_memory_mb=None))
    one = columns(table.table([row], tmp_path))
    assert (one["n seeds"], one["ACC %"], one["peak memory MB"]) == ("1", "90.0", "-")


def test_only_complete_runs_of_today_s_settings_count(tmp_path):
    row = configs.find("moe_vae_digits")
    write(tmp_path, row, metrics(0))
    write(tmp_path, row, metrics(1, acc=0.1), state="running")
    stale = write(tmp_path, row, metrics(2, acc=0.2), epochs=77, width=9.0)
    text = table.table([row], tmp_path)
    assert columns(text)["ACC %"] == "90.0"
    assert text.splitlines()[-2] == ""
    (remark,) = (line for line in text.splitlines() if line.startswith("- left out"))
    assert str(stale) in remark
    assert {"epochs", "width"} == set(re.search(r"another (.*?):", remark)[1].split(", "))


def test_the_table_of_a_prefix(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(configs, "OUT", tmp_path)
    assert table.main(["moe_vae_digits_w"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:]] == ["digits"] * 2
    assert table.main(["no_such"]) == 2
    assert "no experiment starts with 'no_such'" in capsys.readouterr().err


RESTARTED = {  # two runs of two restarts each, the scores of which stand beside those of the chosen one
    seed: metrics(seed, ari=picked, nmi=0.5, acc=0.5, seconds=80.0, opinions={
        "nearest_centroid": {"ari": 0.0, "nmi": 0.0, "acc": 0.0},
        **{f"restart_{r}": {"ari": ari, "nmi": 0.6, "acc": 0.7} for r, ari in enumerate(several)},
    })
    for seed, picked, several in ((0, 0.6, (0.6, 0.4)), (1, 0.5, (0.4, 0.5)))
}  # fmt: skip


def test_restarts_count_as_runs_and_what_l_sp_picks_stands_beside(tmp_path):
    row = configs.find("cm_usps")
    for run_metrics in RESTARTED.values():
        write(tmp_path, row, run_metrics)
    assert columns(table.table([row], tmp_path)) == {
        "data": "usps (n = 100)",
        "method": "cm",
        "settings": "paper, n_clusters=10, restarts=10",  # alpha and batch are the preset's
        "n runs": "4",
        "ARI %": "47.5 ± 9.6",  # of 60, 40, 40, 50: squares 156.25 + 2 * 56.25 + 6.25 over 3, root 9.57
        "NMI %": "60.0 ± 0.0",
        "ACC %": "70.0 ± 0.0",
        "L_sp's ARI %": "55.0 ± 7.1",
        "L_sp's NMI %": "50.0 ± 0.0",
        "L_sp's ACC %": "50.0 ± 0.0",
        "text: ARI %": "54.3",
        "text: NMI %": "62.8",
        "text: ACC %": "67.0",
        "text: L_sp's ARI %": "54.8",
        "seconds a run": "40 ± 0",
        "peak memory MB": "1000 ± 0",
    }


def test_a_run_without_restarts_is_one_run_and_nothing_was_picked(tmp_path):
    row = configs.find("ae_cm_usps")
    write(tmp_path, row, metrics(0))
    found = columns(table.table([row], tmp_path))
    assert (found["n runs"], found["ARI %"], found["L_sp's ARI %"], found["seconds a run"]) == ("1", "70.0", "-", "60")


def test_a_method_that_is_not_there_yet_is_listed(tmp_path):
    row = configs.find("cm_usps")._replace(method="new", name="new_usps", overrides={"start": "random"})
    (tmp_path / "new_usps" / "0").mkdir(parents=True)
    (tmp_path / "new_usps" / "0" / "metrics.json").write_text("{}")
    found = columns(table.table([row], tmp_path))
    assert (found["method"], found["settings"], found["n runs"]) == ("new", "paper, start=random", "0")


def test_each_kind_of_row_has_its_own_table(tmp_path):
    rows = [configs.find("cm_usps"), configs.find("moe_vae_usps")]
    first, second = table.table(rows, tmp_path).split("\n\n")
    assert "n seeds" in first.splitlines()[0]
    assert "n runs" in second.splitlines()[0]


def test_the_fabricated_runs_look_like_real_ones(tmp_path, toy):
    """The names that `metrics` makes up are those that a run writes."""
    from jaxclust import runs
    from jaxclust.data import sources
    from jaxclust.models import Request
    from tests import toy as toys

    images, labels = toys.blobs(60)
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    dataset = sources.load(str(tmp_path / "x.npz"))
    written = runs.fit(Request(toy, toy.presets["quick"]), dataset, tmp_path / "run")
    assert set(metrics(0)) <= set(json.loads((tmp_path / "run/metrics.json").read_text())) == set(written)
    assert {"state", "method", "data", "config"} <= set(json.loads((tmp_path / "run/config.json").read_text()))
