"""What preset full takes on a chip: steps and sums by hand."""

import numpy as np
import pytest

from experiments.bench import _targets, aot, budget
from experiments.bench.steps import STEPS, step_of
from jaxclust.errors import InputError


def test_steps_of_70000_images():
    """Batches of 100 are 700 an epoch, ten experts' of 16 each 438; rounded up to chunks of 32 steps."""
    steps = {phase.name: phase.n_steps() for phase in budget.PHASES}
    assert steps == {
        "search-autoencoder": 2112, "autoencoder": 7008, "manager": 2112, "mixture": 2816, "experts": 1344,
    }  # fmt: skip


def test_the_sums():
    costs = [budget.Cost(1e-3, 5e-4, 2.0)] * len(budget.PHASES)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in budget.table(costs, 100.0) if line]
    assert lines[2][:3] == ["search-autoencoder", "2112", "100"]
    assert lines[2][3:] == ["1.00", "2.1", "1.1", "2"]
    v5e, h100 = lines[-2:]
    assert v5e == ["one v5e", "15", "100", "10", "80%"], "15.4 s, 100 s and 10 s"
    assert h100[:2] == ["one H100", "8"]


def test_the_roofline_is_the_slower_of_both():
    row = aot.Row("step", "v5e:1x1", 100, {}, 1, 1, flops=197e9, bytes=819e6)
    assert aot.lower_bound(row, _targets.V5E) == pytest.approx(1e-3)
    assert aot.lower_bound(row._replace(bytes=2 * 819e6), _targets.V5E) == pytest.approx(2e-3)
    assert aot.lower_bound(row._replace(bytes=None), _targets.V5E) is None


def test_steps_are_found_by_name(monkeypatch, capsys, tmp_path):
    assert step_of(STEPS[0].name) is STEPS[0]
    with pytest.raises(InputError, match="step 'nope' is unknown: choose one of autoencoder-32, "):
        step_of("nope")
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    assert budget.main([]) == 2
    assert "mnist.npz: is missing" in capsys.readouterr().err


def test_a_broken_mnist_is_one_line_before_anything_is_compiled(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 cut off")
    assert budget.main([]) == 2
    np.savez(tmp_path / "mnist.npz", images=np.zeros((3, 2, 2), np.uint8), labels=np.arange(3))
    assert budget.main([]) == 2
    broken, few = capsys.readouterr().err.splitlines()
    assert "give a file .npz of `labels` and `images` or `features`" in broken
    assert few.endswith("mnist.npz has 3 rows: give all 70000")
