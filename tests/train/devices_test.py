"""Trainings on 4 and 8 simulated devices are those of one device; the control shows that the comparison can fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import QUICKLY

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TOLERANCE = {"sgd": 0.01, "adam": 0.05}  # relative, after 32 steps: Adam turns the noise of small gradients into steps


@pytest.fixture(scope="module")
def distances():
    """Largest relative difference of losses and parameters to those of one device, by case."""
    flags = f"{QUICKLY} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.train.devices_script"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("training", "optimiser"),
    [("autoencoder", "sgd"), ("stage one", "sgd"), ("routed", "sgd"), ("stage two", "sgd"), ("stage two", "adam")],
)
def test_many_devices_give_what_one_gives(distances, training, optimiser):
    found = {name: value for name, value in distances.items() if name.startswith(f"{training}, {optimiser}, ")}
    assert found
    assert max(found.values()) < TOLERANCE[optimiser], found


def test_batch_statistics_of_single_devices_would_be_noticed(distances):
    assert distances["control"] > 10 * max(TOLERANCE.values())
