"""A run directory is written by one process at a time: a lock in it says by which, and since when.

The system's own lock (flock) ends with its process. Where a file system has none, or several machines see one directory
(Drive, NFS), the text in the file decides: whose process is dead on this machine, or whose lock another machine has not
touched for STALE seconds, has lost it.
"""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jaxclust.errors import InputError

NAME = ".lock"
TOUCHED = 30.0  # seconds between two touches by its owner
STALE = 600.0  # without one, the machine that owned it is taken to be gone
SETTLED = 0.2  # seconds in which all who write at one time have written; the last one has it


class Lock:
    """Held from `take` until `release`."""

    def __init__(self, path: Path, descriptor: int):
        self.path, self._descriptor = path, descriptor
        self._done = threading.Event()
        threading.Thread(target=self._touch, daemon=True).start()

    def _touch(self) -> None:
        while not self._done.wait(TOUCHED):
            with suppress(OSError):
                os.utime(self.path)

    def release(self) -> None:
        """Another process may take it now."""
        self._done.set()
        try:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
        except OSError:  # an open file cannot be removed everywhere
            os.close(self._descriptor)
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


def take(out: Path, note: Callable[[str], None] = lambda text: None) -> Lock:
    """The lock of a directory that exists. Raises InputError where another process, or another fit of this one, holds
    it. note: told where a lock was left behind.
    """
    path = out / NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        locked = _system_lock(descriptor, out)
        if locked and not path.exists():  # its owner removed it between these two lines
            raise _held(out)
        _check_owner(out, locked)
        before, mine = read(out), _self()
        if before:
            note(f"{out}: process {before['pid']} ended without completing this run")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(mine).encode())
        if not locked:
            time.sleep(SETTLED)
        if read(out) != mine:
            raise _held(out)
        return Lock(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def check(out: Path) -> None:
    """Raises InputError where somebody holds the lock of that directory."""
    path = out / NAME
    if not path.exists():
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        _check_owner(out, _system_lock(descriptor, out))
    finally:
        os.close(descriptor)


def read(out: Path) -> dict[str, Any]:
    """Who wrote the lock of that directory: pid, host, started and since; {} where nobody did."""
    try:
        owner = json.loads((out / NAME).read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) and {"pid", "host", "started", "since"} <= set(owner) else {}


def _system_lock(descriptor: int, out: Path) -> bool:
    """Lock an open file. False where its file system has no locks. Raises InputError where another has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _held(out) from None
    except OSError:
        return False
    return True


def _check_owner(out: Path, locked: bool) -> None:
    """Raises InputError where the one who wrote the lock may still be at work.

    locked: whether the system gave us its lock, so that nobody on this machine has it.
    """
    owner = read(out)
    if not owner or (owner["host"] == platform.node() and (locked or not _alive(owner))):
        return
    with suppress(FileNotFoundError):
        if time.time() - (out / NAME).stat().st_mtime < STALE:
            raise _held(out)


def _held(out: Path) -> InputError:
    owner = read(out)
    who = f"process {owner['pid']} on {owner['host']}, since {owner['since']}," if owner else "another process"
    elsewhere = bool(owner) and owner["host"] != platform.node()
    gone = f", or delete {out / NAME} if that machine is gone" if elsewhere else ""
    return InputError(f"{out}: {who} is working on this run: wait for it, or choose another --out{gone}")


def _self() -> dict[str, Any]:
    pid = os.getpid()
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": pid, "host": platform.node(), "started": _started(pid), "since": since, "id": uuid.uuid4().hex}


def _alive(owner: dict[str, Any]) -> bool:
    """Whether its process lives on this machine: one of that number, which began when it did where that is known."""
    pid = owner["pid"]
    if not isinstance(pid, int) or pid <= 0:
        return False
    if os.name == "posix":  # elsewhere os.kill would end it
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            pass
    return owner["started"] == _started(pid)


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the machine did (Linux); None where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
