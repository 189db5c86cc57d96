"""The committed experiments: their configs are well-formed, and they are run as they say."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import configs, cuts, full, imbalance, latent_sizes, mirrored, run, streaming, table, vc_epochs
from jaxclust import InputError, methods
from jaxclust.cli import fit as fit_command
from jaxclust.data.sources import BUILT_IN
from jaxclust.system import atomic
from tests.made_up_runs import columns, metrics, write

ROWS = [row for rows in configs.tables().values() for row in rows]
DISTINCT = list({(row.method, *row.overrides): row for row in ROWS if row.method in methods.METHODS}.values())


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def row(request):
    return request.param


# configs


def test_there_are_configs():
    assert {"moe_vae_digits", "moe_vae_usps", "moe_vae_mnist10k", "moe_vae_fmnist10k"} <= set(configs.names())


def test_a_row_is_found_by_one_name():
    names = configs.names()
    assert len(set(names)) == len(names) == len(ROWS)
    assert all(configs.find(row.name) == row for row in ROWS)
    assert configs.of("cm_table1") == configs.tables()["cm_table1"]
    assert configs.of("cm_usps") == (configs.find("cm_usps"),)
    assert {row.table for row in configs.starting("cm_usps")} == {"cm_table1", "paper"}
    assert {row.name for row in configs.starting("cm_figure8")} >= {"igmm_moons", "cm_circles", "ae_cm_no_structure"}


def test_a_config_is_well_formed(row):
    assert row.name.startswith(row.method.replace("-", "_") + "_")
    assert len(set(row.seeds)) == len(row.seeds)
    assert len(row.seeds) * row.overrides.get("restarts", 1) >= 3
    assert f"python -m experiments.run {row.table}\n" in row.about
    assert re.search(r"Hardware: .* (minutes|seconds)", row.about)
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
        "n_clusters": 7, "width": 0.25, "clean_target": False, "flip": True, "warm_start": False, "beta": 0.5,
        "min_cluster_share": 0.05, "selection": "eom", "clusterer": "hdbscan", "umap_epochs": None,
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
    """The commands that would be started, into tmp_path; each ends with code 1 if its seed is 9, else 0."""
    commands = []

    class Process:
        def __init__(self, command, **options):
            assert options["stdin"] == subprocess.DEVNULL
            assert options["cwd"] == configs.ROOT
            commands.append(command)

        def wait(self):
            return 1 if "9" in commands[-1] else 0

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
    assert run.main(["moe_vae_digits", "--seeds", "9", "1"]) == 1
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


# cuts


@pytest.mark.slow
def test_cuts_alone_find_blobs_and_leave_them_whole():
    centres = np.array([[0, 0], [20, 0], [0, 20], [20, 20]])
    truth = np.repeat(np.arange(4), 50)
    blobs = (centres[truth] + np.random.default_rng(0).normal(size=(200, 2))).astype(np.float32)
    cut = cuts.cutter(blobs, 10)
    found = cuts.clusters(cut, 200, 4)
    assert len(set(zip(found, truth, strict=True))) == len(set(found)) == 4
    np.testing.assert_array_equal(cuts.clusters(cut, 200, 60, max_ncut=0.01), found)
    assert cuts.clusters(cut, 200, 3).max() == 2


def test_cuts_of_missing_data_or_labels_are_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    cuts.data.cache_clear()
    assert cuts.main(["--data", "usps"]) == 2
    out, err = capsys.readouterr()
    assert "usps.npz: is missing" in err
    assert (err.count("\n"), out) == (1, "")
    np.savez(tmp_path / "usps.npz", images=np.random.default_rng(0).integers(0, 255, (20, 8, 8), np.uint8))
    assert cuts.main(["--data", "usps"]) == 2
    out, err = capsys.readouterr()
    assert "usps has no labels" in err
    assert (err.count("\n"), out) == (1, "")


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


@pytest.mark.slow
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


def test_classes_are_thinned_out_in_proportion(tmp_path, monkeypatch):
    labels = np.repeat(np.arange(5), 4000)
    shares = np.bincount(labels[imbalance.kept(labels, 0.2)]) / 4000
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.6, 0.8, 1.0], atol=0.03)  # standard error 0.008 at most
    few = np.arange(100) % 10
    np.savez(tmp_path / "few.npz", images=few.astype(np.uint8)[:, None, None] * np.ones((8, 8), np.uint8), labels=few)
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    monkeypatch.setattr(configs, "OUT", tmp_path / "out")
    row = configs.find("vc_mnist10k_imbalanced_10")._replace(data="few_imbalanced_10.npz")
    path = configs.data_of(row)
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["images"][:, 0, 0, 0], arrays["labels"])
        assert 40 < len(arrays["labels"]) < 70
    assert configs.data_of(row) == path
    with pytest.raises(InputError, match="missing: set JAXCLUST_DATA to the directory that holds none"):
        configs.data_of(row._replace(data="none_imbalanced_10.npz"))


@pytest.mark.slow
def test_the_latent_space_is_drawn_while_it_learns(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(vc_epochs, "SHOWN", 60)
    monkeypatch.setattr(vc_epochs, "QUICK", dataclasses.replace(vc_epochs.QUICK, width=0.25, min_filters=2))
    path = tmp_path / "epochs.png"
    assert vc_epochs.main(["--epochs", "1", "2", "--out", str(path)]) == 0
    assert capsys.readouterr().out.count("of 10 clusters have 1 % or more") == 2
    assert path.stat().st_size > 10_000
    assert vc_epochs.main(["--epochs", "2", "1"]) == 2
    assert (
        capsys.readouterr().err == "experiments.vc_epochs: error: --epochs is [2.0, 1.0]: give rising numbers above 0\n"
    )


def test_full_says_that_nothing_was_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configs, "OUT", tmp_path)
    assert full.main([]) == 2
    assert "python -m experiments.run full" in capsys.readouterr().err


def test_mirrored_prints_a_line_a_set(monkeypatch, capsys):
    monkeypatch.setattr(mirrored, "SETS", ("digits",))
    assert mirrored.main([]) == 0
    assert "| digits | 1.80 | no |" in capsys.readouterr().out
    monkeypatch.setattr(mirrored, "SETS", ("no_such_set",))
    assert mirrored.main([]) == 2
    assert capsys.readouterr().err.startswith("experiments.mirrored: error: ")
