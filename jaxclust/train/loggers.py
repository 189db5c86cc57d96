"""Logs of a fit: events as lines of JSON, or in TensorBoard, Weights & Biases or Trackio.

A log is a function of an event (events.py). Losses are called PHASE/TERM, by the steps of their phase.
"""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from jaxclust.errors import InputError
from jaxclust.system import atomic

Kind = Literal["jsonl", "tensorboard", "wandb", "trackio"]
KINDS: tuple[str, ...] = get_args(Kind)
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}
PROJECT = "jaxclust"
NAME = "events.jsonl"


class Log:
    """A callback that keeps the events in a directory: `fit(X, callbacks=[Log("tensorboard", "logs")])`.

    kind: 'jsonl' (a line of JSON each, in events.jsonl), 'tensorboard', 'wandb' or 'trackio'. What is not on this
    machine (a server, an account, offline) is these packages' own settings, such as WANDB_MODE=offline.

    Raises InputError for another kind, a package that is not installed, and a directory that cannot be made.
    """

    def __init__(self, kind: str, directory: str | os.PathLike[str]):
        if kind not in KINDS:
            raise InputError(f"log {kind!r} is unknown: choose one of {', '.join(KINDS)}")
        self.directory = Path(directory).expanduser()
        package = _package(kind, self.directory)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{directory}: cannot be made ({error.strerror}): give a directory for the log") from error
        self.sink: _Sink = SINKS[kind](package, self.directory)
        self.open = False

    def __call__(self, event: dict[str, Any]) -> None:
        """Keep an event."""
        event = atomic.plain(event)
        if event["event"] == "begin":
            self.close()
            self.sink.start(event["about"])
            self.open = True
        if self.open:
            self.sink.keep(event)
        if event["event"] == "end":
            self.close()

    def close(self) -> None:
        """Write what is left. A fit that comes to its end does it."""
        if self.open:
            self.sink.finish()
        self.open = False


class _Sink:
    """Where events go. start: a fit begins.  keep: each event.  finish: no more come."""

    def __init__(self, package: Any, directory: Path):
        self.package, self.directory = package, directory

    def start(self, about: dict[str, Any]) -> None:
        pass

    def keep(self, event: dict[str, Any]) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        pass


class _Lines(_Sink):
    def keep(self, event: dict[str, Any]) -> None:
        with open(self.directory / NAME, "a", encoding="utf-8") as file:
            file.write(json.dumps(event, allow_nan=False) + "\n")


class _TensorBoard(_Sink):
    def start(self, about: dict[str, Any]) -> None:
        self.writer = self.package.SummaryWriter(str(self.directory), flush_secs=10)
        self.writer.add_text("settings", f"```\n{json.dumps(about, indent=2)}\n```")

    def keep(self, event: dict[str, Any]) -> None:
        for name, value in _numbers(event).items():
            self.writer.add_scalar(name, value, event.get("step", 0))
        if event["event"] == "figure":
            self.writer.add_image(f"figures/{event['name']}", _pixels(event["path"]), dataformats="HWC")

    def finish(self) -> None:
        self.writer.close()


class _Tracker(_Sink):
    """What has init, log, Image and finish: wandb and trackio."""

    def keep(self, event: dict[str, Any]) -> None:
        if numbers := _numbers(event):
            self.package.log(numbers)
        if event["event"] == "figure":
            self.package.log({f"figures/{event['name']}": self.package.Image(event["path"])})

    def finish(self) -> None:
        self.package.finish()


class _WandB(_Tracker):
    def start(self, about: dict[str, Any]) -> None:
        self.package.init(project=PROJECT, dir=str(self.directory), config=about)

    def keep(self, event: dict[str, Any]) -> None:
        if event["event"] == "phase":
            self.package.define_metric(f"{event['phase']}/step")
            self.package.define_metric(f"{event['phase']}/*", step_metric=f"{event['phase']}/step")
        super().keep(event)


class _Trackio(_Tracker):
    def start(self, about: dict[str, Any]) -> None:
        self.package.init(project=PROJECT, config=about)


SINKS: Mapping[str, type[_Sink]] = {
    "jsonl": _Lines,
    "tensorboard": _TensorBoard,
    "wandb": _WandB,
    "trackio": _Trackio,
}


def _package(kind: str, directory: Path) -> Any:
    """The package that a log needs, imported."""
    if kind not in PACKAGES:
        return None
    if kind == "trackio":  # it reads this when it is imported
        os.environ.setdefault("TRACKIO_DIR", str(directory.absolute()))
    try:
        return importlib.import_module(PACKAGES[kind])
    except ImportError as error:
        remedy = f"pip install 'jaxclust[{kind}]'"
        raise InputError(f"log {kind} needs the package {PACKAGES[kind]} ({error}): {remedy}") from error


def _numbers(event: Mapping[str, Any]) -> dict[str, float]:
    """What of an event is drawn as curves."""
    if event["event"] == "progress":
        found = {**event["terms"], "examples_per_second": event["examples_per_second"], "step": event["step"]}
        return {f"{event['phase']}/{name}": value for name, value in found.items() if value is not None}
    if event["event"] == "done":
        return {f"{event['phase']}/seconds": event["phase_seconds"]}
    if event["event"] == "end":
        return {f"scores/{name}": float(value) for name, value in event["scores"].items()}
    return {}


def _pixels(path: str) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
