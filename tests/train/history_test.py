import json

import pytest

from jaxclust.train import history


@pytest.fixture
def rows(tmp_path):
    for step in (1, 2, 3):
        history.append(tmp_path, "a", step, step / 2, 0.1 * step, {"loss": 1.0 / step})
    history.append(tmp_path, "b", 1, 1.0, 0.2, {"loss": 5.0})
    return tmp_path


def test_rows_come_back_in_order(rows):
    read = history.read(rows)
    assert [(row["phase"], row["step"]) for row in read] == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]
    assert read[1] == {"phase": "a", "step": 2, "epoch": 1.0, "seconds": 0.2, "loss": 0.5}


def test_truncate_forgets_later_rows_of_one_phase_only(rows):
    history.truncate(rows, "a", 1)
    assert [(row["phase"], row["step"]) for row in history.read(rows)] == [("a", 1), ("b", 1)]


def test_a_half_written_last_row_is_left_out(rows):
    with open(rows / history.NAME, "a") as file:
        file.write('{"phase": "b", "st')
    assert len(history.read(rows)) == 4
    history.truncate(rows, "b", 1)  # a resumed run repairs the file
    history.append(rows, "b", 2, 2.0, 0.3, {})
    assert [json.loads(line)["step"] for line in (rows / history.NAME).read_text().splitlines()] == [1, 2, 3, 1, 2]


def test_no_history_is_no_rows(tmp_path):
    assert history.read(tmp_path) == []
    history.truncate(tmp_path, "a", 0)
    assert not (tmp_path / history.NAME).exists()
