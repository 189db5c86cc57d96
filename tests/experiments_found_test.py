"""The table of what whole fits find."""

from experiments import configs, found
from tests.made_up_runs import columns, metrics, write


def test_the_cells_of_a_row(tmp_path):
    row = configs.find("moe_vae_orl_32_found")
    for seed, clear, view in ((0, True, "codes"), (1, False, "codes")):
        told = {"clusters": {"clear": clear, "view": view}}
        write(tmp_path, row, metrics(seed, acc=0.5 + 0.1 * seed, n_clusters=30 + seed, summary=told, seconds=100.0))
    got = columns(found.table([row, configs.find("moe_vae_usps")], tmp_path))  # the latter has no runs: no line
    assert got == {
        "data": "orl_32 (100)", "classes": "40", "method": "moe-vae", "seeds": "0 1", "K by seed": "30 31",
        "clear": "yes no", "seen in": "codes", "ACC %": "55.0 ± 7.1", "NMI %": "80.0 ± 0.0", "seconds": "100 ± 0",
        "MB": "1000 ± 0",
    }  # fmt: skip


def test_sets_of_the_choice_stand_apart_and_without_runs_there_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configs, "OUT", tmp_path)
    assert found.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "experiments.found: error: there are no complete runs: python -m experiments.run found"
    ]
    for name in ("moe_vae_digits", "moe_vae_usps"):
        write(tmp_path, configs.find(name), metrics(0, summary={}))
    assert found.main([]) == 0
    chosen, confirmed = capsys.readouterr().out.split("only confirmed on")
    assert ("digits" in chosen, "usps" in chosen) == (True, False)
    assert ("digits" in confirmed, "usps" in confirmed) == (False, True)
