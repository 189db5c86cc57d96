"""What happens in a fit, told to functions: each event is a dict.

    {"event": "begin", "about": {...}}                          the method, its config, the seed, the number of examples
    {"event": "phase", "phase": name}                           a training or a computation on the host begins
    {"event": "progress", "phase": name, "step": 320, "steps": 3000, "examples_per_second": 812.0,
     "terms": {"loss": 0.61, ...}}                              between two chunks of steps
    {"event": "note", "text": "..."}
    {"event": "done", "phase": name, "phase_seconds": 12.3}
    {"event": "figure", "name": "map", "path": "run/figures/map.png"}   on the command line
    {"event": "end", "scores": {...}}                           n_clusters, silhouette, ...: scores without classes

Each has "seconds", since the begin. Functions are called by the thread that fits, which waits for them; what they raise
ends the fit.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from jaxclust.errors import InputError
from jaxclust.train.progress import Reporter, Silent

Callback = Callable[[dict[str, Any]], object]
SCORES = ("n_clusters", "clear", "effective_clusters", "noise_fraction", "latent_dim", "silhouette")


class Events(Silent):
    """A reporter that tells one function."""

    def __init__(self, callback: Callback):
        self.callback = callback
        self.name = ""
        self.start = time.monotonic()

    def begin(self, about: Mapping[str, Any]) -> None:
        self.start = time.monotonic()
        self._tell("begin", about=dict(about))

    def phase(self, name: str) -> None:
        self.name = name
        self._tell("phase", phase=name)

    def progress(self, done: int, total: int, examples_per_second: float, terms: Mapping[str, float]) -> None:
        told = {"step": done, "steps": total, "examples_per_second": examples_per_second, "terms": dict(terms)}
        self._tell("progress", phase=self.name, **told)

    def note(self, text: str) -> None:
        self._tell("note", text=text)

    def done(self, seconds: float) -> None:
        self._tell("done", phase=self.name, phase_seconds=seconds)

    def figure(self, path: Path) -> None:
        self._tell("figure", name=path.stem, path=str(path))

    def end(self, scores: Mapping[str, Any]) -> None:
        self._tell("end", scores={name: scores[name] for name in SCORES if scores.get(name) is not None})

    def _tell(self, event: str, **values: Any) -> None:
        self.callback({"event": event, "seconds": round(time.monotonic() - self.start, 3), **values})


class Several:
    """A reporter that tells several, in order."""

    def __init__(self, reporters: Sequence[Reporter]):
        self.reporters = reporters

    def __getattr__(self, name: str) -> Callable[..., None]:
        def tell(*args: Any) -> None:
            for reporter in self.reporters:
                getattr(reporter, name)(*args)

        return tell


def told(report: Reporter, callbacks: Any) -> Reporter:
    """A reporter that tells `report` and functions of an event. Raises InputError for what is no function."""
    if callbacks is None:
        return report
    if callable(callbacks) or not isinstance(callbacks, list | tuple):
        raise InputError(f"callbacks is {callbacks!r}: give a list of functions of one event, such as [print]")
    for callback in callbacks:
        if not callable(callback):
            raise InputError(f"{callback!r} in callbacks is no function: give functions of one event, such as [print]")
    return cast(Reporter, Several([report, *map(Events, callbacks)])) if callbacks else report
