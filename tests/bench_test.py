"""The benchmarks and the script for devices: what they count, fit, print and write. No time is checked."""

import json
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import experiments.bench
from experiments import on_device
from experiments.bench import _cases as cases
from experiments.bench import _timing as timing
from experiments.bench import page, scaling, throughput
from jaxclust.errors import InputError

TINY = throughput.Sizes(
    sides=(4,), first=2, batch=4, widths=(6, 4, 2), mlp_batch=4, mixture_side=4, ks=(3,), vc_side=4,
    vc_clusters=((3, 2), (3, "all")), hrwae_side=8, groups=(1, 2), hc_mgan=((8, 0.03),), slots=2, steps=2,
    ceiling=16,
)  # fmt: skip


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.delattr(experiments.bench, "_peers", raising=False)
    monkeypatch.setitem(sys.modules, "experiments.bench._peers", None)


def table(text):
    """Cells of the lines of the last Markdown table in `text`, its two first lines left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    start = max(i for i, line in enumerate(lines) if set(line) <= set("| -"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 1 :]]


# arithmetic


def test_operations_of_a_convolutional_vae_by_hand():
    """One block of 2 filters on 3 images of 4 x 4, latent size 32; 2 operations a multiply and add."""
    encoder = [2 * 3 * 16 * 9 * 1 * 2, 2 * 3 * 4 * 9 * 2 * 2, 2 * 3 * 8 * 32, 2 * 3 * 8 * 32]
    decoder = [2 * 3 * 32 * 8, 2 * 3 * 4 * 9 * 2 * 2, 2 * 3 * 16 * 9 * 2 * 1]
    assert cases.conv_vae(4, batch=3, first=2).flops == 3 * sum(encoder + decoder) - encoder[0] == 27648


@pytest.mark.slow
def test_operations_of_the_other_steps_by_hand():
    assert cases.mlp((5, 4, 2), batch=3).flops == 3 * 2 * 3 * (20 + 8 + 8 + 20) - 2 * 3 * 20
    sizes = 256 * 500 + 500 * 500 + 500 * 2000 + 2000 * 10
    assert cases.ae_cm(16, batch=3).flops == 3 * 2 * 3 * 2 * sizes - 2 * 3 * 256 * 500
    manager = 3 * (1728 + 864 + 2 * 3 * 8 * 2) - 1728
    assert cases.stage_one(2, 2, 4, batch=3, first=2).flops == manager + 2 * 27648
    routed = cases.stage_one(4, 1, 4, batch=8, first=2).flops  # 8 * 1.5 / 4 = 3 rows for each of the four experts
    assert routed == 8 / 3 * (3 * (1728 + 864 + 2 * 3 * 8 * 4) - 1728) + 4 * 27648


def test_pytorch_trains_the_same_networks():
    peers = pytest.importorskip("experiments.bench._peers")

    def ours(case):
        state = jax.eval_shape(lambda key: case.training.init(key, (case.batch, *case.shape)), jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(state.params))

    def theirs(module):
        return sum(parameter.numel() for parameter in module.parameters())

    for side in (4, 8, 16, 32, 64):
        assert ours(cases.conv_vae(side, first=2)) == theirs(peers.ConvVAE(side, 2, cases.LATENT))
    assert ours(cases.mlp((6, 4, 2))) == theirs(peers.MLPAutoencoder((6, 4, 2)))
    mixture = peers.Mixture(8, 2, cases.LATENT, 3, lambda module: module)
    assert ours(cases.stage_one(3, 3, 8, first=2)) == theirs(mixture)
    for groups in (1, 2, 3):
        hrwae = peers.HRWAE(16, cases.HRWAE.min_filters, cases.HRWAE.latent_dim, groups)
        assert ours(cases.hrwae(groups, 16)) == theirs(hrwae)
    one = ours(cases.ae_cm(16)), theirs(peers.AECM((256, *cases.WIDTHS[1:]), 10, 20.0, 0.5))
    assert one[0] == one[1]
    for refine, gans in ((False, [peers.GAN(16, 0.25, 2)]), (True, [peers.GAN(16, 0.25, 1) for _ in range(2)])):
        assert ours(cases.hc_mgan(refine, 16, 0.25)) == sum(map(theirs, gans))
        assert min(timer() for timer in peers.gans(refine, 8, 0.05, 4, 1, False).values()) > 0
    images = peers.torch.rand(4, 1, 8, 8)
    for loss in (mixture, peers.ConvVAE(8, 2, cases.LATENT), peers.HRWAE(8, 2, 4, 2)):
        assert peers.Training(loss, [images], 1)() > 0
        assert all(parameter.grad is not None for parameter in loss.parameters())


# timing


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_exponents_are_found_again(power):
    sizes = np.array([1, 3, 10, 100])
    assert timing.exponent(sizes, 0.3 * sizes**power) == pytest.approx(power)
    seconds = {str(n): [noise * float(n) ** power for noise in (1.0, 5.0, 0.2)] for n in sizes}
    grown = scaling.growth("n", list(sizes), seconds, [float(n) ** 2 for n in sizes])
    assert (grown.exponent, grown.arithmetic) == (pytest.approx(power), pytest.approx(2.0))


def test_ratios_are_taken_within_rounds():
    seconds = {"a": [1.0, 10.0, 2.0], "b": [3.0, 20.0, 8.0], "c": [2.0, 50.0, 9.0], "top": [0.5, 4.0, 1.0]}
    assert timing.best(seconds, ["b", "c"]) == [2.0, 20.0, 8.0]
    assert timing.ratio(seconds, ["b", "c"], "a") == 2.0  # of 2, 2, 4
    assert timing.rate_row("x", seconds, "a", ["b", "c"], 100) == ("x", 50.0, 12.5, 2.0)
    assert timing.rate_row("x", seconds, "a", [], 100) == ("x", 50.0, None, None)
    row = timing.share_row("x", seconds, "a", 3e9, "top", 4e9)
    assert row == ("x", pytest.approx(1.5), pytest.approx(4.0), pytest.approx(0.375))  # .375, .3, .375


def test_rounds_interleave_and_end():
    calls = []
    timers = {name: lambda name=name: calls.append(name) or 1.0 for name in "ab"}
    assert timing.interleaved(timers, 5, 0.0) == {"a": [1.0, 1.0], "b": [1.0, 1.0]}  # two rounds at least
    assert "".join(calls) == "ababab"
    assert len(timing.interleaved(timers, 3, 60.0)["a"]) == 3


# throughput


@pytest.mark.slow
def test_throughput_without_torch_prints_and_writes_its_rows(without_torch, capsys, tmp_path):
    path = tmp_path / "rows.json"
    assert throughput.main(["--only", "conv", "mlp", "--rounds", "2", "--json", str(path)], TINY) == 0
    out = capsys.readouterr().out
    assert "torch is not installed: the peer's columns are left out" in out
    rows = json.loads(path.read_text())
    assert [list(row) for row in rows] == [["name", "ours", "peer", "ratio"]] * 4
    assert [row["name"] for row in rows[::2]] == ["conv VAE 4 x 4, examples/s", "MLP autoencoder 6-4-2, examples/s"]
    for rate, share in zip(rows[::2], rows[1::2], strict=True):
        assert rate["ours"] > 0
        assert rate["peer"] is rate["ratio"] is None
        assert share["ratio"] > 0
        assert share["name"].endswith("(peer: the machine's ceiling)")
    printed = table(out)
    assert [line[0] for line in printed] == [row["name"] for row in rows]
    assert printed[0][2:] == ["-", "-"]


@pytest.mark.slow
def test_the_mixture_is_measured_in_the_library_s_steps(monkeypatch):
    asked = []
    monkeypatch.setattr(
        timing, "training", lambda training, data, batch, steps: asked.append(data.shape) or (lambda: 1.0)
    )
    monkeypatch.setattr(timing, "product", lambda n: lambda: 1.0)
    rows = throughput.mixture(throughput.Bench(TINY, 2, 1.0, False, None))
    assert asked == [(40, 4, 4, 1)] * 4  # one VAE; three experts dense, routed to two, to one
    assert [row.ratio for row in rows] == [None, pytest.approx(1 / 3), 1.0, 1.0]


def test_rows_of_the_mixture_by_hand():
    seconds = {
        throughput.ALONE: [1.0, 2.0], "jaxclust, K = 3 dense": [6.0, 12.0], "jaxclust, K = 3 routed to 2": [3.0, 4.0],
        "jaxclust, K = 3 routed to 1": [2.0, 3.0], "p": [9.0, 20.0], "q": [8.0, 30.0],
    }  # fmt: skip
    dense, each, two, one = throughput.mixture_rows(TINY, seconds, {3: ["p", "q"]})
    assert dense[1:] == (1 / 9, 1 / 14, pytest.approx((8 / 6 + 20 / 12) / 2))
    assert each[1:] == (3000.0, 1500.0, 2.0)
    assert (two.ratio, one.ratio) == (2.5, 3.5)
    assert two.name.endswith("K = 3 routed to 2, steps/s (peer: dense)")


def test_a_peer_that_cannot_be_compiled_is_left_out(capsys):
    def fails():
        raise RuntimeError("no C++ compiler\nand more")

    assert throughput.works(lambda: 1.0)
    assert not throughput.works(fails)
    assert capsys.readouterr().out == "torch.compile fails here and is left out: no C++ compiler\n"


# scaling


@pytest.mark.slow
def test_scaling_prints_and_writes_its_rows(capsys, tmp_path):
    path, sizes = tmp_path / "rows.json", scaling.Sizes(rows=(8, 16), side=4, first=2, batch=4, steps=2)
    assert scaling.main(["--only", "rows", "--rounds", "2", "--json", str(path)], sizes) == 0
    (row,) = json.loads(path.read_text())
    assert list(row) == ["name", "sizes", "seconds", "flops", "exponent", "arithmetic"]
    assert (row["name"], row["sizes"], row["arithmetic"]) == ("N, rows of data", [8, 16], None)
    assert timing.exponent(row["sizes"], row["flops"]) == pytest.approx(0, abs=1e-9)
    ((name, at, _, _, arithmetic),) = table(capsys.readouterr().out)
    assert (name, at, arithmetic) == ("N, rows of data", "8, 16", "-")


def test_what_is_scaled():
    sizes = scaling.Sizes(ks=(1, 4), rows=(10, 1000), sides=(4, 8), side=4, first=2, batch=4)
    experts, rows, pixels = (make(sizes) for _, make in scaling.GROUPS.values())
    assert [(point.size, point.rows) for point in experts] == [(1, 40), (4, 40)]
    assert [(point.size, point.rows) for point in rows] == [(10, 10), (1000, 1000)]
    assert [(point.size, point.case.shape) for point in pixels] == [(16, (4, 4, 1)), (64, (8, 8, 1))]
    assert 3 < experts[1].case.flops / experts[0].case.flops < 4  # one manager for all


# on_device


def test_without_an_accelerator_it_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(on_device.environment, "has_accelerator", lambda: False)
    assert on_device.main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "experiments.on_device: error: no GPU or TPU here: give --allow-cpu to try the script on this CPU\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_device_s_report(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(on_device, "steps_of", lambda sizes, batch, dtype: {"mlp": cases.mlp((6, 4, 2), batch, dtype)})
    monkeypatch.setattr(on_device.environment, "enable_compilation_cache", lambda: None)
    sizes = on_device.Sizes(sides=(4,), batches=(4,), first=2, product=16, steps=2, rounds=2)
    assert on_device.main(["--allow-cpu", "--no-tests", "--out", str(tmp_path)], sizes) == 0
    kind = jax.devices()[0].device_kind
    report = json.loads((tmp_path / f"{on_device.file_name(kind)}.json").read_text())
    assert (report["device"], report["tests"]) == (kind, None)
    assert len(report["agreement"]) == 6
    assert all(0 <= row["gradient_error"] <= row["gradient_limit"] for row in report["agreement"])
    assert any(row["gradient_error"] > 1e-4 for row in report["agreement"])  # bfloat16 is not float32
    assert [(row["dtype"], row["batch"], row["gflop"]) for row in report["steps"]] == [
        (dtype, 4, pytest.approx(1e-9 * cases.mlp((6, 4, 2), 4).flops)) for dtype in ("float32", "bfloat16")
    ]
    for row in report["steps"]:
        assert row["program_bytes"] > 4 * 6 * 40
        assert row["share_of_ceiling"] > 0
    assert [line[:3] for line in table(capsys.readouterr().out)] == [["mlp", "float32", "4"], ["mlp", "bfloat16", "4"]]


def test_failures_there_are_counted_and_named():
    outcomes = on_device.Outcomes()
    for when, outcome in (("setup", "passed"), ("call", "passed"), ("call", "failed"), ("setup", "skipped")):
        report = SimpleNamespace(when=when, nodeid=f"{when}-{outcome}", passed=False, failed=False, skipped=False)
        setattr(report, outcome, True)
        outcomes.pytest_runtest_logreport(report)
    assert vars(outcomes) == {"passed": 1, "skipped": 1, "failed": ["call-failed"]}


def test_the_selected_tests_are_there():
    assert all((on_device.ROOT / path).exists() for path in on_device.TESTS)


@pytest.mark.parametrize(
    ("kind", "name"), [("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"), ("TPU v5 lite", "tpu-v5-lite")]
)
def test_file_names(kind, name):
    assert on_device.file_name(kind) == name


def test_relative_errors_by_hand():
    theirs = {"a": np.array([3.0]), "b": np.array([[4.0]])}
    mine = {"a": np.array([3.0]), "b": np.array([[4.5]])}
    assert on_device.relative_error(mine, theirs) == pytest.approx(0.1)


# the page


def test_what_the_page_s_speed_needs_is_one_line(tmp_path, monkeypatch, capsys):
    assert page.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(f"{tmp_path}: has no report.html: jaxclust report {tmp_path} makes it\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(InputError, match="no Chromium here: apt-get install chromium"):
        page.chromium()
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(InputError, match="playwright is not installed"):
        page.driver()
