"""The tables of hrwae-gan's groups and of its draws, of made-up runs and of one tiny run."""

import numpy as np
import pytest

from experiments import configs, frechet, groups, run, table
from jaxclust.cli import fit as fit_command
from jaxclust.metrics.images import frechet_distance
from tests import toy
from tests.contract_test import TINY

TEXT = ("labelled", "ACC of labelled", "ACC", "best ACC")


def made_up(acc, noise, ended=None, mmd=(0.1, 0.2)):
    scores = {"acc": acc, "nmi": 0.5, "ari": 0.5}
    noisy = {**scores, "acc_labelled": acc / (1 - noise), "noise_fraction": noise}
    looks = [{"mmd": [9.0, 9.0]}, {"mmd": list(mmd)}]
    summary = {
        "latent_dims": [16, 16],
        "clusters_by_group": [10, 12],
        "health": looks,
        "head_agreement": 0.99,
        "ended": ended,
    }
    run = {"acc": 0.9, "seconds": 60.0, "peak_memory_mb": 1000.0, "summary": summary}
    opinions = {"group_0": noisy, "group_1": scores}
    return {**run, "opinions": opinions}


def test_a_line_for_each_group():
    row = configs.find("hrwae_gan_mnist10k_l2")
    lines = list(groups.lines_of(row, [made_up(0.6, 0.25), made_up(0.8, 0.2, "why")]))
    assert [tuple(line[4:7]) for line in lines] == [("0", "leaves", "10 10"), ("1", "leaves", "12 12")]
    assert all(len(line) == len(groups.HEADER) for line in lines)
    first = dict(zip(groups.HEADER, lines[0], strict=True))
    assert first["broken"] == "1"
    assert first["labelled %"] == "77.5 ± 3.5"
    assert first["ACC of labelled %"] == "90.0 ± 14.1"
    assert (first["ACC %"], first["best ACC %"]) == ("70.0 ± 14.1", "80.0")
    assert [first[f"text: {name} %"] for name in TEXT] == ["55.2 ± 10.3", "85.6 ± 7", "54.9 ± 6.6", "78.8"]
    assert (first["MMD^2"], first["head agrees %"], first["seconds"]) == ("0.100", "99.0 ± 0.0", "60 ± 0")
    assert dict(zip(groups.HEADER, lines[1], strict=True))["labelled %"] == "100.0 ± 0.0"


def test_the_text_s_numbers_stand_beside_their_own_group_and_clusterer():
    def text(name, group):
        line = list(groups.lines_of(configs.find(name), [made_up(0.6, 0.25)]))[group]
        return [dict(zip(groups.HEADER, line, strict=True))[f"text: {column} %"] for column in TEXT]

    assert text("hrwae_gan_mnist10k_l2_gmm", 0) == ["-", "-", "70.37 ± 4.5", "77"]
    assert text("hrwae_gan_fmnist10k_l2_gmm", 0)[2:] == ["60 ± 3.4", "63.9"]
    assert text("hrwae_gan_fmnist10k_l2_hdbscan", 1) == ["41.86 ± 28.9", "40 ± 21", "29.38 ± 20.1", "56.8"]
    assert text("hrwae_gan_mnist10k_l2_gmm", 1) == text("hrwae_gan_usps_l2", 0) == ["-"] * 4
    assert configs.find("hrwae_gan_mnist10k_l2_gmm").text == {"acc": 0.7037}


def test_a_group_far_from_its_prior_counts_as_broken():
    def count(*runs):
        return next(iter(groups.lines_of(configs.find("hrwae_gan_mnist10k_l2"), runs)))[3]

    near, beyond = made_up(0.6, 0.25), made_up(0.6, 0.25, mmd=(0.1, 0.62))
    assert (count(near), count(near, beyond), count(made_up(0.6, 0.25, mmd=(None, 0.1)))) == ("0", "1", "1")


def test_a_group_without_clusters_and_a_look_that_is_not_finite_leave_gaps():
    run = made_up(0.6, 0.25)
    run["opinions"] = {name: scores for name, scores in run["opinions"].items() if name.startswith("group_0")}
    run["summary"]["health"][-1]["mmd"] = [None, 0.3]
    lines = list(groups.lines_of(configs.find("hrwae_gan_usps_l2"), [run]))
    assert [line[4] for line in lines] == ["0"]
    assert dict(zip(groups.HEADER, lines[0], strict=True))["MMD^2"] == "-"


def test_without_runs_there_is_one_line(capsys, monkeypatch, tmp_path):
    images, labels = toy.blobs(40)
    np.savez(tmp_path / "usps.npz", images=images, labels=labels)
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    monkeypatch.setattr(configs, "OUT", tmp_path / "out")
    monkeypatch.setattr(frechet, "features", lambda images, likelihood: lambda images: images.reshape(len(images), -1))
    assert frechet.main(["usps"]) == 2
    assert "no complete runs of hrwae_gan_usps" in capsys.readouterr().err
    assert frechet.main(["none"]) == 2
    assert "hrwae_gan_none_l1" in capsys.readouterr().err
    assert groups.main() == 0
    assert capsys.readouterr().out.count("\n") == 2, "a head alone"


@pytest.mark.slow
def test_features_tell_other_images_from_their_own():
    images, _ = toy.blobs(200)
    embed = frechet.features(images[..., None], "bernoulli", epochs=16)
    ours = embed(images[..., None])
    assert ours.shape == (200, 32)
    halves = frechet_distance(ours[::2], ours[1::2])
    others = frechet_distance(embed(255 - images[..., None]), ours)
    assert others > 10 * halves


@pytest.mark.slow
def test_draws_of_a_run_are_compared(capsys, monkeypatch, tmp_path):
    images, labels = toy.blobs(60)
    np.savez(tmp_path / "usps.npz", images=images, labels=labels)
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    monkeypatch.setattr(configs, "OUT", tmp_path / "out")
    monkeypatch.setattr(frechet, "DRAWN", 50)
    monkeypatch.setattr(frechet, "features", lambda images, likelihood: lambda images: images.reshape(len(images), -1))
    monkeypatch.setattr(frechet, "FIGURES", tmp_path)
    settings = {**TINY["hrwae-gan"], "groups": 1}
    row = configs.find("hrwae_gan_usps_l1")._replace(overrides=settings)
    monkeypatch.setattr(configs, "of", lambda name: (row,))
    fit_command.main(configs.arguments(row, 0, str(tmp_path / "usps.npz"), tmp_path / "out" / row.name / "0")[1:])
    capsys.readouterr()
    assert frechet.main(["usps"]) == 0
    (line,) = capsys.readouterr().out.splitlines()[2:]
    assert line.startswith("| usps | 1 | 1 | ")
    assert (tmp_path / "hrwae_gan_usps.png").is_file()


def test_a_seed_that_diverges_is_counted_and_the_next_one_follows(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(configs, "OUT", tmp_path)
    monkeypatch.setattr(configs, "data_of", lambda row: "usps.npz")
    asked = []

    def jaxclust(row, seed, command):
        asked.append(seed)
        return 3 if seed == 0 else 0

    monkeypatch.setattr(run, "_jaxclust", jaxclust)
    assert run.main(["hrwae_gan_usps_l1", "--seeds", "0", "1"]) == 0
    assert run.main(["hrwae_gan_usps_l1", "--seeds", "0"]) == 0
    assert asked == [0, 1], "what diverged is not run again"
    assert "diverged before" in capsys.readouterr().out
    row = configs.find("hrwae_gan_usps_l1")
    assert configs.diverged(row, tmp_path) == [0]
    assert configs.diverged(row._replace(overrides={**row.overrides, "latent_dim": 3}), tmp_path) == []
    assert "- diverged: hrwae_gan_usps_l1, seed 0" in table.table([row], tmp_path)
    (line,) = groups.lines_of(row, [], 1)
    assert (len(line), line[3]) == (len(groups.HEADER), "1")
    (first, *_) = groups.lines_of(row, [made_up(0.6, 0.25, "why")], 1)
    assert first[3] == "2"

    monkeypatch.setattr(run, "_jaxclust", lambda *_: 0)
    run.main(["hrwae_gan_usps_l1", "--seeds", "0", "--overwrite"])
    assert configs.diverged(row, tmp_path) == []
