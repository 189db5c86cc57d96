"""The tables of Santos 2020's section 4 that are about codes: by hand, and one of each on a made set."""

import dataclasses

import numpy as np
import pytest

from experiments import latent_spaces
from jaxclust.data import prepare
from jaxclust.methods.moe_vae.config import QUICK
from tests import toy


def test_entropy_by_hand():
    assert latent_spaces.entropy(np.array([[0, 255], [0, 255]], np.uint8)) == 1
    assert latent_spaces.entropy(np.array([[0, 1, 2, 3]], np.uint8)) == 2
    assert latent_spaces.entropy(np.full((3, 3), 7, np.uint8)) == 0
    assert latent_spaces.entropy(np.array([[0.0, 1.0]], np.float32)) == 1


def test_unknown_data_are_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        latent_spaces.main(["digit"])
    assert end.value.code == 2
    assert "invalid choice: 'digit'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("table", list(latent_spaces.TABLES))
def test_each_table_has_its_lines(table, monkeypatch):
    images, labels = toy.blobs(120)
    preprocess = prepare.plan(images[..., None])
    data = latent_spaces.Data("blobs", np.asarray(prepare.apply(preprocess, images[..., None])), labels, preprocess)
    tiny = dataclasses.replace(QUICK, width=0.1, min_filters=4, epochs=2, min_steps=0, batch_size=40)
    monkeypatch.setattr(latent_spaces, "QUICK", tiny)
    header, *lines = latent_spaces.TABLES[table](data, 0)
    assert len(lines) == (len(latent_spaces.KINDS) if table == "kinds" else 1)
    for line in lines:
        assert len(line) == len(header)
        assert line[0] == "blobs"
    numbers = [float(cell) for line in lines for cell in line[2:] if " " not in cell]
    assert np.isfinite(numbers).all()
    if table == "kinds":
        assert all(-1 <= float(line[2]) <= 1 for line in lines)
    if table == "dimensions":
        assert len(lines[0][-1].split()) == labels.max() + 1
