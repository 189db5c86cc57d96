"""Trees of arrays on disk, by orbax: nothing is pickled, and the devices may be others when they are read.

The checksums of a checkpoint's files lie beside it: a bit that a disk or a copy turns would be a number like any other.
"""

import errno
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np

from jaxclust.errors import InputError
from jaxclust.system import atomic
from jaxclust.typing import PyTree

SUMS = "sums.json"


class Checkpoints:
    """The newest state of one training in a directory. Use it in a `with` block.

    Typed PRNG keys are stored as their data; empty parts of a tree (an optimiser without state) cost nothing.
    """

    def __init__(self, directory: Path):
        import orbax.checkpoint as ocp

        multiprocessing = ocp.options.MultiprocessingOptions()
        if jax.process_count() > 1:  # the process that writes is the only one that knows of the checkpoints
            directory.mkdir(parents=True, exist_ok=True)
            multiprocessing = ocp.options.MultiprocessingOptions(jax.process_index(), {jax.process_index()})
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1,
            create=jax.process_count() == 1,
            enable_async_checkpointing=False,
            multiprocessing_options=multiprocessing,
        )
        handlers = {"state": ocp.StandardCheckpointHandler(multiprocessing_options=multiprocessing)}
        self.args = ocp.args
        self.directory = directory.resolve()
        self._links = ExitStack()
        place = self._links.enter_context(_named_in_utf8(self.directory))
        self.manager = ocp.CheckpointManager(place, options=options, item_handlers=handlers)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._links:
            self.manager.close()

    @property
    def latest(self) -> int | None:
        """The step of the newest complete checkpoint; None if there is none."""
        return self.manager.latest_step()

    def save(self, step: int, tree: PyTree) -> None:
        """Write `tree` as that step's, then forget older ones. Raises OSError (ENOSPC) where the disk is full."""
        if self.latest == step:
            return
        with _disk_full_is_os_error():
            self.manager.save(step, args=self.args.Composite(state=self.args.StandardSave(_plain(tree))))
            self.manager.wait_until_finished()
        atomic.write_json(self.directory / SUMS, {"step": step, "files": _sums(self.directory / str(step))})

    def restore(self, template: PyTree) -> PyTree:
        """The newest tree, with the structure of `template` (arrays or ShapeDtypeStructs), on the first device.

        Raises InputError, naming the directory, where it has another structure or cannot be read.
        """
        try:
            saved = self._restore(jax.tree.map(_on_first_device, jax.eval_shape(without_keys, template)))
        except (ValueError, KeyError, TypeError, FileNotFoundError, NotADirectoryError) as error:
            first = str(error).strip().partition("\n")[0]
            remedy = "delete it, and --resume does its phase again"
            raise InputError(f"{self.directory}: the checkpoint cannot be read ({first[:200]}): {remedy}") from error
        return with_keys(template, saved)

    def restore_dicts(self) -> PyTree:
        """The newest tree of nested dicts, without a template, on the first device."""
        metadata = self.manager.item_metadata(self.latest).state
        return self._restore(jax.tree.map(_on_first_device, metadata.tree))

    def _restore(self, target: PyTree) -> PyTree:
        args = self.args.Composite(state=self.args.StandardRestore(target))
        return self.manager.restore(self.latest, args=args).state


def damage(directory: Path) -> str | None:
    """Which file of the newest checkpoint in `directory` is not as it was written; None where all are, or where no
    checksums were kept of it."""
    path = directory / SUMS
    if not directory.is_dir():
        return directory.name
    if not path.exists():
        return None
    steps = [int(found.name) for found in directory.iterdir() if found.name.isdigit()]
    try:
        kept = json.loads(path.read_bytes())
        step, files = int(kept["step"]), dict(kept["files"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return SUMS
    if steps and max(steps) > step:  # killed before its checksums were written
        return None
    found = _sums(directory / str(step))
    return next((name for name, value in files.items() if found.get(name) != value), None)


def _sums(directory: Path) -> dict[str, int]:
    """CRC-32 of each file, by its name below `directory`."""
    return {path.relative_to(directory).as_posix(): _sum(path) for path in directory.rglob("*") if path.is_file()}


def _sum(path: Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def save_dicts(directory: Path, tree: PyTree) -> None:
    """Write nested dicts of arrays, instead of older ones; `load_dicts` reads them. Raises TypeError for other
    containers."""
    _check_dicts(tree)
    shutil.rmtree(directory, ignore_errors=True)
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(0, tree)


def load_dicts(directory: Path) -> PyTree:
    """What `save_dicts` wrote. Raises FileNotFoundError where there is nothing, ValueError where it is damaged."""
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory.name} is missing")
    if name := damage(directory):
        raise ValueError(f"{name} is not as it was written")
    with Checkpoints(directory) as checkpoints:
        if checkpoints.latest is None:
            raise FileNotFoundError(f"{directory} holds no arrays")
        return checkpoints.restore_dicts()


def _check_dicts(tree: PyTree, path: str = "arrays") -> None:
    if isinstance(tree, dict):
        for name, item in tree.items():
            _check_dicts(item, f"{path}[{name!r}]")
    elif not hasattr(tree, "dtype") or _is_key(tree):
        raise TypeError(f"{path} is a {type(tree).__name__}: a model's arrays are nested dicts of plain arrays")


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def without_keys(tree: PyTree) -> PyTree:
    """`tree` with typed PRNG keys as their data."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def _plain(tree: PyTree) -> PyTree:
    """NumPy arrays: all that orbax takes from one of several processes, and it compiles nothing to copy them."""
    return jax.tree.map(np.asarray, without_keys(tree))


def with_keys(template: PyTree, tree: PyTree) -> PyTree:
    """The inverse of `without_keys`: `template` says which leaves are keys."""
    return jax.tree.map(_with_key, template, tree)


def _with_key(leaf: Any, saved: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(saved, impl=str(jax.random.key_impl(leaf))) if _is_key(leaf) else saved


def _on_first_device(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


@contextmanager
def _named_in_utf8(directory: Path) -> Iterator[Path]:
    """The directory, by a link where its path is no UTF-8, which is all that tensorstore takes."""
    try:
        os.fspath(directory).encode()
    except UnicodeEncodeError:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="jaxclust-") as place:
            link = Path(place, directory.name.encode("ascii", "replace").decode().replace("?", "_"))
            link.symlink_to(directory)
            yield link
    else:
        yield directory


@contextmanager
def _disk_full_is_os_error() -> Iterator[None]:
    """tensorstore reports a full disk as a ValueError with the system's words in it."""
    try:
        yield
    except Exception as error:
        words = "No space left on device"
        if words in str(error) and not isinstance(error, OSError):
            raise OSError(errno.ENOSPC, words) from error
        raise
