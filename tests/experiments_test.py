"""The committed experiments: their configs are well-formed, and the table computes what it says."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import configs, latent_sizes, run, streaming, table
from jaxclust import InputError, atomic, methods
from jaxclust.commands import fit as fit_command
from jaxclust.data.sources import BUILT_IN

ROWS = [row for rows in configs.tables().values() for row in rows]
DISTINCT = list({(row.method, *row.overrides): row for row in ROWS if row.method in methods.SYSTEMS}.values())


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def row(request):
    return request.param


def metrics(seed, **changes):
    """What metrics.json of a run holds, as far as the table reads it."""
    return {
        "seed": seed, "n_samples": 100, "split": "all", "acc": 0.9, "nmi": 0.8, "ari": 0.7, "n_clusters": 10,
        "noise_fraction": 0.02, "seconds": 60.0, "peak_memory_mb": 1000.0, "opinions": {"manager": {"acc": 0.85}},
    } | changes  # fmt: skip


def write(out, row, values, state="complete", split="all", **changes):
    """A run of `row` in `out` with these metrics; `changes` are to its config, `split` to what was fitted."""
    directory = out / row.name / str(values["seed"])
    directory.mkdir(parents=True)
    config = dataclasses.asdict(configs.config_of(row)) | changes
    described = {
        "state": state,
        "method": row.method,
        "data": f"/some/where/{row.data}",
        "config": config,
        "split": split,
    }
    atomic.write_json(directory / "config.json", described)
    atomic.write_json(directory / "metrics.json", values)
    return directory


def columns(text):
    """Cells of the last line of a table by the header's names."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, last = ([cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], lines[-1]))
    return dict(zip(header, last, strict=True))


# configs


def test_there_are_configs():
    assert {"moe_vae_digits", "moe_vae_usps", "moe_vae_mnist10k", "moe_vae_fmnist10k"} <= set(configs.names())


def test_a_row_is_found_by_one_name():
    names = configs.names()
    assert len(set(names)) == len(names) == len(ROWS)
    assert all(configs.find(row.name) == row for row in ROWS)
    assert configs.of("cm_table1") == configs.tables()["cm_table1"]
    assert configs.of("cm_usps") == (configs.find("cm_usps"),)
    assert {row.table for row in configs.starting("cm_usps")} == {"cm_table1"}
    assert {row.name for row in configs.starting("cm_figure8")} >= {"igmm_moons", "cm_circles", "ae_cm_no_structure"}


def test_a_config_is_well_formed(row):
    assert row.name.startswith(row.method.replace("-", "_") + "_")
    assert len(set(row.seeds)) == len(row.seeds)
    assert len(row.seeds) * row.overrides.get("restarts", 1) >= 3
    assert f"python -m experiments.run {row.table}\n" in row.about
    assert re.search(r"Hardware: .* minutes", row.about)
    assert set(row.text) <= {"acc", "nmi", "ari", "lsp_ari", "manager", "n_clusters"}
    assert all(0 <= value < 1 for name, value in row.text.items() if name != "n_clusters")
    assert row.data.endswith(configs.FILES) or row.data in BUILT_IN


@pytest.mark.parametrize("row", DISTINCT, ids=lambda row: row.name)
def test_the_command_line_says_what_the_config_says(row):
    argv = configs.arguments(row, 5, "data.npz", Path("somewhere"))
    assert argv[:2] == ["fit", row.method]
    options, config = fit_command.parse(methods.find(row.method), argv[2:])
    assert config == configs.config_of(row)
    assert (options.data, options.seed, options.out, options.preset) == ("data.npz", 5, Path("somewhere"), row.preset)


def test_published_hundredths_are_shares():
    assert configs.shares(54.3, 62.8, 67.0) == {"ari": 0.543, "nmi": 0.628, "acc": 0.67}
    assert configs.shares(0.1, 0.8, 10.8, 4.79)["lsp_ari"] == 0.0479
    assert configs.find("ae_cm_usps").text == {"ari": 0.697, "nmi": 0.767, "acc": 0.768, "lsp_ari": 0.61}


def test_the_networks_of_the_small_sets_are_the_text_s():
    iris, moons = configs.find("ae_cm_iris"), configs.find("ae_cm_moons")
    assert (iris.overrides["hidden"], iris.overrides["latent_dim"]) == ((), 6)
    argv = configs.arguments(iris, 0, "iris", Path("x"))
    after = argv[argv.index("--hidden") + 1]
    assert after.startswith("--"), "no values: no hidden layer"
    assert "--quadratic" in configs.arguments(configs.find("ae_cm_circles"), 0, "circles", Path("x"))
    assert (moons.overrides["hidden"], moons.overrides["latent_dim"]) == ((20, 20, 20), 1)


def test_overrides_of_every_kind_reach_the_command_line():
    overrides = {
        "n_clusters": 7, "width": 0.25, "clean_target": False, "flip": True, "pretrain": False, "beta": 0.5,
        "min_cluster_shares": (0.02, 0.05), "selection": "leaf", "umap_epochs": None,
    }  # fmt: skip
    row = configs.find("moe_vae_digits")._replace(overrides=overrides)
    argv = configs.arguments(row, 0, "digits", Path("x"))
    config = fit_command.parse(methods.find(row.method), argv[2:])[1]
    assert config == configs.config_of(row) != configs.config_of(row._replace(overrides={}))


def test_data_is_a_name_or_a_file_that_exists(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    assert configs.data_of(configs.find("moe_vae_digits")) == "digits"
    usps = configs.find("moe_vae_usps")
    with pytest.raises(InputError, match=r"usps\.npz: is missing: set JAXCLUST_DATA"):
        configs.data_of(usps)
    (tmp_path / "usps.npz").touch()
    assert configs.data_of(usps) == str(tmp_path / "usps.npz")
    monkeypatch.delenv("JAXCLUST_DATA")
    if (configs.ROOT.parent / "shared/data/usps.npz").exists():
        assert Path(configs.data_of(usps)) == configs.ROOT.parent / "shared/data/usps.npz"


# run


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["no_such_row"], "'no_such_row' is unknown: choose one of"), (["moe_vae_usps"], "usps.npz: is missing")],
)
def test_what_cannot_be_run_is_one_line(capsys, monkeypatch, tmp_path, arguments, named):
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    monkeypatch.setattr(configs, "OUT", tmp_path / "out")
    assert run.main(arguments) == 2
    err = capsys.readouterr().err
    assert named in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The commands that would be started, into tmp_path; each ends with code 3 if its seed is 9, else 0."""
    commands = []

    class Process:
        def __init__(self, command, **options):
            assert options["stdin"] == subprocess.DEVNULL
            assert options["cwd"] == configs.ROOT
            commands.append(command)

        def wait(self):
            return 3 if "9" in commands[-1] else 0

    monkeypatch.setattr(run.subprocess, "Popen", Process)
    monkeypatch.setattr(configs, "OUT", tmp_path)
    return commands


def test_all_rows_of_a_table_are_run(started, monkeypatch):
    rows = (configs.find("moe_vae_digits"), configs.find("cm_moons"))
    monkeypatch.setattr(configs, "tables", lambda: {"both": rows})
    assert run.main(["both", "--seeds", "7"]) == 0
    assert [command[4:6] for command in started] == [["moe-vae", "digits"], ["cm", "moons"]]


def test_each_seed_is_a_process(started, tmp_path):
    assert run.main(["moe_vae_digits", "--seeds", "4", "5"]) == 0
    for command, seed in zip(started, ("4", "5"), strict=True):
        assert command[:6] == [sys.executable, "-m", "jaxclust", "fit", "moe-vae", "digits"]
        assert command[-2:] == ["--out", str(tmp_path / "moe_vae_digits" / seed)]


def test_a_row_of_the_training_split_labels_the_test_split_once(started, tmp_path, monkeypatch):
    monkeypatch.setattr(configs, "data_of", lambda row: "usps.npz")
    row = configs.find("moe_vae_usps_train")
    out = write(tmp_path, row, metrics(0), split="train")
    assert run.main([row.name, "--seeds", "0"]) == 0
    assert started[0][3:] == ["evaluate", str(out), "usps.npz", "--split", "test", "--out", str(out / "held_out.json")]
    atomic.write_json(out / "held_out.json", {"acc": 0.75})
    assert run.main([row.name, "--seeds", "0"]) == 0
    assert len(started) == 1
    assert columns(table.table([row], tmp_path))["ACC % held out"] == "75.0"
    write(tmp_path, row, metrics(1), split="all")
    assert "another split" in table.table([row], tmp_path)


def test_the_settings_of_a_row_are_in_the_table(tmp_path):
    row = configs.find("moe_vae_digits_wae_gan")
    assert columns(table.table([row], tmp_path))["settings"] == "quick, autoencoder=wae, wae_penalty=gan"


def test_complete_runs_are_skipped_and_others_go_on(started, tmp_path):
    row = configs.find("moe_vae_digits")
    write(tmp_path, row, metrics(0))
    write(tmp_path, row, metrics(1), state="interrupted")
    assert run.main([row.name]) == 0
    assert [command[command.index("--seed") + 1] for command in started] == ["1", "2"]
    assert ["--resume" in command for command in started] == [True, False]
    started.clear()
    assert run.main([row.name, "--overwrite"]) == 0
    assert len(started) == 3
    assert all(command[-1] == "--overwrite" for command in started)


def test_a_failure_ends_it(started):
    assert run.main(["moe_vae_digits", "--seeds", "9", "1"]) == 3
    assert len(started) == 1


def test_a_run_with_other_settings_is_not_taken_for_this_one(started, tmp_path, capsys):
    row = configs.find("moe_vae_digits")
    write(tmp_path, row, metrics(0), epochs=77)
    assert run.main([row.name]) == 2
    assert "another epochs: give --overwrite" in capsys.readouterr().err
    assert started == []


# latent sizes


@pytest.mark.parametrize(
    ("arguments", "named"), [(["--sizes", "1"], "--sizes has 1"), (["--data", "usps"], "usps.npz: is missing")]
)
def test_latent_sizes_of_bad_input_is_one_line(capsys, monkeypatch, tmp_path, arguments, named):
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    assert latent_sizes.main(arguments) == 2
    out, err = capsys.readouterr()
    assert named in err
    assert (err.count("\n"), out) == (1, "")


def test_latent_sizes_are_counted_and_drawn(capsys, monkeypatch, tmp_path):
    given = {4: np.array([0.5, 0.3, 0.15, 0.05]), 2: np.array([0.95, 0.05])}
    monkeypatch.setattr(latent_sizes, "explained", lambda name, size, epochs, seed: given[size])
    monkeypatch.setattr(latent_sizes, "FIGURE", tmp_path / "figures" / "x.png")
    assert latent_sizes.main(["--data", "digits", "--sizes", "4", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["| digits | 90% | 3 | 2 |", "| digits | 95% | 3 | 2 |"]
    assert (tmp_path / "figures" / "x.png").stat().st_size > 1000


# table


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
    assert table.main(["moe_vae_d"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:]] == ["digits"] * 10
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


# streaming


def test_the_file_repeats_the_images_with_shifts(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK", 7)
    images = np.random.default_rng(0).integers(0, 256, (10, 6, 6), dtype=np.uint8)
    streaming.write(tmp_path / "x.npy", images, 33)
    written = np.load(tmp_path / "x.npy")
    assert written.shape == (33, 6, 6)
    np.testing.assert_array_equal(written[:10], images)
    np.testing.assert_array_equal(written.sum((1, 2)), images.sum((1, 2))[np.arange(33) % 10])  # shifts move pixels
    assert (written[14:24] != images[np.arange(14, 24) % 10]).any((1, 2)).sum() > 5


def test_growth_is_the_exponent(capsys):
    def row(n, exponent):
        known = {"stream": "on", "file_mb": 1.0, "peak_memory_mb": 900.0, "seconds": 60.0}
        return {"n": n, "training_seconds": 1e-4 * n**exponent, **known}

    for exponent in (1.0, 2.0):
        rows = [row(n, exponent) for n in streaming.SIZES]
        assert streaming.growth(rows) == pytest.approx(exponent)
        assert f"grow as N^{exponent:.2f}" in streaming.table(rows)
    assert streaming.growth(rows[:1]) is None
    assert "| 10,000 | on | 1 | 900 | 60.0 |" in streaming.table(rows)


def test_training_seconds_leave_out_the_compiler():
    """Four chunks of 2 s in each phase, the first of which waits 30 s for the compiler."""
    rows = [{"phase": name, "seconds": 30.0 + 2 * i} for name in streaming.TRAINED for i in range(1, 5)]
    rows += [{"phase": "manager", "seconds": float(i)} for i in range(9)]
    assert streaming.training_seconds(rows) == pytest.approx(4 * 8.0)


def test_streaming_settings_are_options_of_fit():
    options, config = fit_command.parse(methods.find("moe-vae"), ["x.npy", *streaming.SETTINGS])
    assert options.preset == "quick"
    assert (config.epochs, config.max_samples, config.min_steps) == (1, 2000, 0)


def test_streaming_names_bad_input(capsys):
    assert streaming.main(["--sizes", "100"]) == 2
    assert "--sizes has 100" in capsys.readouterr().err


# how hard the split is


def test_usps_split_prints_both_accuracies(capsys, monkeypatch, tmp_path):
    from experiments import usps_split
    from tests import toy as toys

    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    images, labels = toys.blobs(120)
    assert usps_split.main([]) == 2
    assert "usps.npz: is missing" in capsys.readouterr().err
    np.savez(tmp_path / "usps.npz", images=images, labels=labels)
    assert usps_split.main([]) == 2
    assert "no split" in capsys.readouterr().err
    np.savez(tmp_path / "usps.npz", images=images, labels=labels, split=np.arange(120) % 2)
    assert usps_split.main(["--seeds", "3", "--epochs", "32"]) == 0
    words = capsys.readouterr().out.split()
    assert words[:2] == ["seed", "3:"]
    assert float(words[4].strip(",")) > 0.9, "three blobs are learnt"
