"""What preset paper does, of made-up runs."""

from experiments import cluster_sets, configs, paper
from jaxclust.data import sources
from jaxclust.system import atomic
from tests.made_up_runs import columns, metrics, write

PAPER = ("moe_vae_digits_paper", "hrwae_gan_digits_paper", "hc_mgan_digits_paper_root")


def test_active_dimensions_of_experts_that_own_enough_by_hand():
    kl = [[2.0, 0.5, 0.02, 0.01], [1.0, 0.011, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], None]
    assert paper.fewest_active(kl, {0: 90, 1: 10, 2: 0, 3: 0}) == 2
    assert paper.fewest_active(kl, {0: 90, 1: 10, 2: 1, 3: 0}) == 2  # of 101 one is less than a hundredth
    assert paper.fewest_active(kl, {0: 89, 1: 10, 2: 1, 3: 0}) == 0
    many = 101 * [[1.0, 0.5]]
    assert paper.fewest_active(many, dict.fromkeys(range(101), 1)) is None, "none of 101 owns a hundredth"


def test_a_line_a_run_and_a_mark_where_it_diverged(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configs, "OUT", tmp_path)
    assert paper.main([]) == 2
    assert "python -m experiments.run paper" in capsys.readouterr().err
    mixture, other, root = map(configs.find, PAPER)
    summary = {"expert_kl": [[1.0, 0.5, 0.2], [0.02, 0.005, 0.0]]}
    values = metrics(0, acc=0.9, nmi=0.8, noise_fraction=0.1, effective_clusters=2, summary=summary)
    run = write(tmp_path, mixture, values)
    (run / "clusters.csv").write_text("cluster,name,size\n0,,90\n1,,10\n")
    assert paper.main([]) == 0
    got = columns(capsys.readouterr().out)
    assert (got["row"], got["ACC %"], got["experts: fewest active dimensions"]) == (mixture.name, "90.0", "1")

    write(tmp_path, other, metrics(0, effective_clusters=2, summary={}))
    (tmp_path / "hc_mgan_digits_paper_root").mkdir()
    atomic.write_json(tmp_path / "hc_mgan_digits_paper_root" / "0.diverged", configs.stated(root))
    assert paper.main([]) == 0
    out = capsys.readouterr().out
    assert (columns(out)["row"], columns(out)["experts: fewest active dimensions"]) == (other.name, "-")
    assert out.splitlines()[-1] == "- diverged: hc_mgan_digits_paper_root, seed 0"


def test_digits_of_28_pixels_are_what_the_text_of_vc_has_networks_for(tmp_path):
    data = sources.load(str(cluster_sets.file("digits_28", tmp_path)))
    assert data.images.shape == (1797, 28, 28, 1)
    assert (data.labels == sources.load("digits").labels).all()
