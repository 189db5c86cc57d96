"""The life of a run directory: begun, marked with how it ended, completed; an older run is never lost by accident."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxclust.errors import InputError, RunExists
from jaxclust.runs import locks
from jaxclust.system import atomic, paths
from jaxclust.train import history

RUNNING, INTERRUPTED, FAILED, COMPLETE = "running", "interrupted", "failed", "complete"
STATES = [RUNNING, INTERRUPTED, FAILED, COMPLETE]
ENTRIES = (
    "config.json", "metrics.json", "assignments.csv", "clusters.csv", "skipped.csv", "embedding.npy",
    "probabilities.npy", "levels.npz", history.NAME, "model", "figures", "map.npz", "report.html", "phases",
)  # fmt: skip
REPLACED = ".replaced"  # where an overwritten run waits until the new one is complete
WORK = ("phases", REPLACED)  # what goes when a run is complete
IDENTITY = ("method", "data_fingerprint", "seed", "preprocess", "config", "init_from")  # what a resumed run must share


class Begun(NamedTuple):
    """A run that is being worked on.

    fresh: it starts from nothing; False where it goes on.  made: directories that did not exist before, deepest first.
    lock: keeps others away until `marked` ends; None for a run that is complete.
    """

    out: Path
    fresh: bool
    made: tuple[Path, ...] = ()
    lock: locks.Lock | None = None


def begin(
    out: Path,
    config: Mapping[str, Any],
    *,
    overwrite: bool = False,
    resume: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Begun:
    """Make `out` a run in state 'running' described by `config`, or take up the one that is there.

    A complete run that is to be resumed is left as it is. Raises RunExists, or InputError where `out` holds other
    files or a run with another configuration, or where another process works on it.
    """
    if check_free(out, overwrite=overwrite, resume=resume) and resume and read_config(out)["state"] == COMPLETE:
        _check_same(out, read_config(out), config)
        note(f"{out} is complete: nothing to do")
        if any(_is_left_behind(path) or path.name in WORK for path in out.iterdir()):  # killed when they were to go
            lock = locks.take(out)
            _clear(out)
            lock.release()
        return Begun(out, False)
    made = tuple(path for path in (out, *out.parents) if not path.exists())
    out.mkdir(parents=True, exist_ok=True)
    lock = locks.take(out, note)
    try:
        return Begun(out, _begin(out, config, overwrite, resume, note), made, lock)
    except BaseException:
        lock.release()
        _remove_empty(made)
        raise


def _begin(out: Path, config: Mapping[str, Any], overwrite: bool, resume: bool, note: Callable[[str], None]) -> bool:
    """What `begin` does under the lock, since others may have been there meanwhile. Whether the run starts afresh."""
    holds_run = _check_contents(out, overwrite=overwrite, resume=resume)
    _remove_temporary(out)
    if resume and holds_run:
        old = read_config(out)
        _check_same(out, old, config)
        if old["state"] == COMPLETE:
            raise InputError(f"{out}: another process has just completed this run: there is nothing to go on with")
        if changed := _changed(old.get("versions"), config.get("versions")):
            note(
                f"package versions changed since the run began, so its result may differ from that of one go: {changed}"
            )
    elif holds_run:
        _set_aside(out)
    _mark(out, RUNNING, config)
    return not (resume and holds_run)


def check_free(out: Path, *, overwrite: bool, resume: bool) -> bool:
    """Whether `out` holds a run. Raises RunExists, or InputError, where a run may not be made there."""
    paths.check_name(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file: give another directory")
    locks.check(out)
    return _check_contents(out, overwrite=overwrite, resume=resume)


def _check_contents(out: Path, *, overwrite: bool, resume: bool) -> bool:
    holds_run = (out / "config.json").is_file()
    if not holds_run and (out / REPLACED).is_dir():  # killed in the middle of replacing it
        _put_back(out)
        holds_run = True
    if holds_run and not overwrite and not resume:
        raise RunExists(f"{out}: already holds a run: choose another --out, or --overwrite it, or --resume it")
    if not holds_run and out.is_dir() and not all(map(_is_left_behind, out.iterdir())):
        raise InputError(f"{out}: is not empty and holds no run: choose another --out")
    return holds_run


def _is_left_behind(path: Path) -> bool:
    """Whether a process that was killed before it wrote anything left that file."""
    return path.name == locks.NAME or atomic.is_temporary(path)


@contextmanager
def marked(run: Begun) -> Iterator[None]:
    """Within it a run is worked on: what ends it early is written into config.json.

    An InputError takes back a run that started afresh: it would come again, so nothing is left of it.
    """
    try:
        yield
    except InputError:
        if run.fresh:
            _take_back(run)
        else:
            _mark(run.out, FAILED)
        raise
    except KeyboardInterrupt:
        _mark(run.out, INTERRUPTED)
        raise
    except Exception:
        with suppress(OSError):
            _mark(run.out, FAILED)
        raise
    finally:
        if run.lock is not None:
            run.lock.release()
            if run.fresh:
                _remove_empty(run.made)


def complete(out: Path) -> None:
    """The run is done: its work in progress and the run that it replaced go."""
    _mark(out, COMPLETE)
    _clear(out)


def _clear(out: Path) -> None:
    """Delete what a complete run does not need."""
    _remove_temporary(out)
    for name in WORK:
        shutil.rmtree(out / name, ignore_errors=True)


def _remove_temporary(out: Path) -> None:
    """Delete the files of `atomic.write` that a killed process left."""
    for path in filter(atomic.is_temporary, out.iterdir()):
        path.unlink(missing_ok=True)


def read_config(directory: Path) -> dict[str, Any]:
    """config.json of a run. Raises InputError where there is none."""
    path = directory / "config.json"
    paths.check_name(directory)
    if not path.is_file():
        raise InputError(f"{directory}: holds no run (no config.json): make one with jaxclust fit")
    config = read_json(path)
    for name in ("state", "method", "config"):
        if name not in config:
            raise InputError(f"{path}: has no {name!r}: this is not a run of jaxclust: give another directory")
    known = config["state"] in STATES and isinstance(config["method"], str) and isinstance(config["config"], dict)
    if not known:
        raise InputError(f"{path}: its state, method or config is damaged: fit again, with --overwrite")
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InputError, naming the file, for anything else."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}): fit again, with --overwrite") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object: fit again, with --overwrite")
    return value


def _changed(before: Any, now: Mapping[str, Any] | None) -> str:
    """Which versions differ: 'jax 0.9.1, now 0.10.2'."""
    old, new = before if isinstance(before, dict) else {}, now or {}
    return "; ".join(f"{name} {old.get(name)}, now {new.get(name)}" for name in new if old.get(name) != new[name])


def _check_same(out: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for name in IDENTITY:
        before, now = old.get(name), new.get(name)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            name = next(key for key in {**before, **now} if before.get(key) != now.get(key))
            before, now = before.get(name), now.get(name)
        remedy = "resume with the same, or --overwrite it"
        raise InputError(f"{out}: was begun with {name} {before!r}, not {now!r}: {remedy}")


def _mark(out: Path, state: str, config: Mapping[str, Any] | None = None) -> None:
    atomic.write_json(out / "config.json", {**(config or read_config(out)), "state": state})


def _entries(directory: Path) -> list[Path]:
    return [directory / name for name in ENTRIES if (directory / name).exists()]


def _remove_entries(directory: Path) -> None:
    for path in _entries(directory):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _set_aside(out: Path) -> None:
    """Move the run into REPLACED; if one waits there already, the run that was to replace it goes."""
    if (out / REPLACED).exists():
        _remove_entries(out)
        return
    (out / REPLACED).mkdir()
    for path in reversed(_entries(out)):  # config.json last
        shutil.move(path, out / REPLACED / path.name)  # also where directories cannot be renamed (overlayfs)


def _put_back(out: Path) -> None:
    for path in reversed(_entries(out / REPLACED)):
        shutil.move(path, out / path.name)
    (out / REPLACED).rmdir()


def _take_back(run: Begun) -> None:
    _remove_entries(run.out)
    if (run.out / REPLACED).is_dir():
        _put_back(run.out)


def _remove_empty(made: tuple[Path, ...]) -> None:
    with suppress(OSError):  # there is a run in it, or somebody else's files
        for path in made:
            path.rmdir()
