"""Callbacks are told the events of a fit, in order; logs keep them."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxclust
from jaxclust.errors import InputError
from jaxclust.estimators.base import DeepClusterer
from jaxclust.train import events, loggers
from jaxclust.train.progress import Silent
from tests import toy as toys

X = toys.blobs(60)[0]


@pytest.fixture
def model(toy):
    class Toy(DeepClusterer, method="toy"):
        """The toy."""

    return Toy(seed=0, epochs=20)


def test_a_callback_is_told_all_in_order(model):
    told = []
    model.fit(X, callbacks=[told.append])
    kinds = [event["event"] for event in told]
    assert kinds[:4] == ["begin", "phase", "done", "phase"]
    assert kinds[-2:] == ["done", "end"]
    assert told[0]["about"]["method"] == "toy"
    assert told[0]["about"]["config"]["epochs"] == 20
    assert told[0]["about"]["n_samples"] == 60
    assert [event["phase"] for event in told if event["event"] == "phase"] == ["seeds", "centres"]
    steps = [event for event in told if event["event"] == "progress"]
    assert steps[-1]["step"] == steps[-1]["steps"] > 0
    assert all(set(event["terms"]) == {"inertia"} and event["examples_per_second"] > 0 for event in steps)
    assert told[-1]["scores"]["n_clusters"] == 3
    assert not {"acc", "nmi", "ari"} & set(told[-1]["scores"]), "scores without classes"
    seconds = [event["seconds"] for event in told]
    assert seconds == sorted(seconds)


def test_callbacks_change_no_result_and_what_they_raise_ends_the_fit(model):
    plain, told = model.fit_predict(X), []
    np.testing.assert_array_equal(model.fit_predict(X, callbacks=[told.append, lambda event: None]), plain)
    assert told

    def stop(event):
        if event["event"] == "progress":
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        model.fit(X, callbacks=[stop])


@pytest.mark.parametrize("callbacks", [3, print, [print, "jsonl"], {"a": print}])
def test_what_is_no_function_is_one_line(model, callbacks):
    with pytest.raises(InputError, match=r"functions of one event, such as \[print\]"):
        model.fit(X, callbacks=callbacks)


def test_lines_of_json(model, tmp_path):
    log = jaxclust.Log("jsonl", tmp_path / "new" / "logs")
    told = []
    model.fit(X, callbacks=[log, told.append])
    kept = [json.loads(line) for line in (tmp_path / "new/logs/events.jsonl").read_text().splitlines()]
    assert [row["event"] for row in kept] == [event["event"] for event in told]
    assert kept[-1]["scores"] == told[-1]["scores"]
    model.fit(X, callbacks=[log])
    assert len((tmp_path / "new/logs/events.jsonl").read_text().splitlines()) == 2 * len(kept), "the next fit follows"


def test_the_command_line_logs_figures_too(toy, tmp_path, monkeypatch):
    from jaxclust import runs
    from jaxclust.data import sources
    from jaxclust.models import Request

    def draw(out, *others):
        (out / "figures").mkdir()
        Image.new("RGB", (4, 2)).save(out / "figures" / "map.png")

    told = []
    request = Request(toy, toys.ToyConfig(epochs=20))
    runs.fit(request, sources.load(X), tmp_path / "run", report=events.told(Silent(), [told.append]), draw=draw)
    figures = [event for event in told if event["event"] == "figure"]
    assert [(event["name"], event["path"]) for event in figures] == [("map", str(tmp_path / "run/figures/map.png"))]
    assert [event["event"] for event in told][-1] == "end"


@pytest.mark.parametrize("kind", list(loggers.PACKAGES))
def test_a_missing_package_is_one_line_and_leaves_nothing(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, loggers.PACKAGES[kind], None)
    with pytest.raises(InputError, match=rf"pip install 'jaxclust\[{kind}\]'"):
        jaxclust.Log(kind, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_bad_logs_are_one_line(tmp_path):
    with pytest.raises(InputError, match="choose one of jsonl, tensorboard, wandb, trackio"):
        jaxclust.Log("csv", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give a directory for the log"):
        jaxclust.Log("jsonl", tmp_path / "file")


class Tracker(types.ModuleType):
    """What wandb and trackio have of it."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs)) or args


EVENTS = (
    {"event": "begin", "seconds": 0, "about": {"method": "toy"}},
    {"event": "phase", "seconds": 0, "phase": "centres"},
    {"event": "progress", "seconds": 1, "phase": "centres", "step": 32, "steps": 64, "examples_per_second": 9.0,
     "terms": {"loss": np.float32(0.5)}},
    {"event": "done", "seconds": 2, "phase": "centres", "phase_seconds": 1.5},
    {"event": "end", "seconds": 3, "scores": {"n_clusters": 3, "clear": True}},
)  # fmt: skip
CURVES = [
    {"centres/loss": 0.5, "centres/examples_per_second": 9.0, "centres/step": 32},
    {"centres/seconds": 1.5},
    {"scores/n_clusters": 3.0, "scores/clear": 1.0},
]


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_trackers_are_told_curves(kind, tmp_path, monkeypatch):
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    tracker = Tracker(kind)
    monkeypatch.setitem(sys.modules, kind, tracker)
    log = jaxclust.Log(kind, tmp_path)
    for event in EVENTS:
        log(event)
    log.close()
    names = [name for name, _, _ in tracker.calls if name != "define_metric"]
    assert names == ["init", "log", "log", "log", "finish"], "finished once"
    assert tracker.calls[0][2]["config"] == {"method": "toy"}
    assert [args[0] for name, args, _ in tracker.calls if name == "log"] == CURVES
    monkeypatch.delenv("TRACKIO_DIR", raising=False)


def test_tensorboard_has_curves_figures_and_settings(tmp_path):
    pytest.importorskip("tensorboardX", reason="pip install 'jaxclust[tensorboard]'")
    from tensorboardX.proto.event_pb2 import Event

    Image.new("RGB", (4, 2), (255, 0, 0)).save(tmp_path / "map.png")
    log = jaxclust.Log("tensorboard", tmp_path / "logs")
    for event in (*EVENTS[:-1], {"event": "figure", "seconds": 2, "name": "map", "path": str(tmp_path / "map.png")}):
        log(event)
    log(EVENTS[-1])
    found = {}
    for record in records(next((tmp_path / "logs").iterdir())):
        for value in Event.FromString(record).summary.value:
            found[value.tag] = value
    assert found["centres/loss"].simple_value == 0.5
    assert found["scores/n_clusters"].simple_value == 3
    assert (found["figures/map"].image.width, found["figures/map"].image.height) == (4, 2)
    assert any(tag.startswith("settings") for tag in found)


def records(path: Path):
    """The records of a file of TensorFlow's form: length, 4 bytes, data, 4 bytes."""
    data = path.read_bytes()
    while data:
        length = int.from_bytes(data[:8], "little")
        yield data[12 : 12 + length]
        data = data[16 + length :]
