"""What bfloat16 costs, of made-up runs."""

from math import inf, sqrt

import pytest

from experiments import configs, precision
from tests.made_up_runs import columns, metrics, write


def test_a_difference_in_standard_errors_by_hand():
    assert precision.compared([0.90, 0.92], [0.89, 0.89]) == pytest.approx((-0.02, -0.02 / sqrt(0.0002 / 2)))
    assert precision.compared([0.9, 0.9], [0.9, 0.9]) == (0, 0)
    assert precision.compared([0.9, 0.9], [0.8, 0.8])[1] == -inf


def test_methods_apart_fail_and_those_without_runs_have_no_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configs, "OUT", tmp_path)
    assert precision.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "experiments.precision: error: no method has two complete runs of each: python -m experiments.run precision"
    ]

    def runs(name, *shares):
        for seed, share in enumerate(shares):
            write(tmp_path, configs.find(name), metrics(seed, acc=share))

    runs("moe_vae_digits_given_float32", 0.90, 0.92, 0.94)
    runs("moe_vae_digits_given_bfloat16", 0.91, 0.93)
    runs("vc_digits_given_float32", 0.9, 0.9)
    assert precision.main([]) == 0
    got = columns(capsys.readouterr().out)
    assert (got["method"], got["n seeds"], got["difference"], got["verdict"]) == ("moe-vae", "3 2", "+0.0", "good")
    runs("vc_digits_given_bfloat16", 0.80, 0.81)
    assert precision.main([]) == 1
    assert columns(capsys.readouterr().out)["verdict"] == "apart"
