"""Several processes as one training: all compute, the first one alone decides and writes.

What the host finds out (clusters, latent sizes, the point where a resumed training goes on) is found by the first
process and given to the others, so that all of them compile and run the same programs.
"""

import io
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np

from jaxclust.errors import InputError
from jaxclust.train.checkpoint import with_keys, without_keys
from jaxclust.typing import PyTree

ARRAYS, ERROR = 0, 1  # what a message holds
DECIDING = ContextVar("deciding", default=False)  # whether the first process is in a function that it alone calls


def join(coordinator: str | None, processes: int | None, process_id: int | None, timeout: int) -> None:
    """Become one of `processes` processes; before anything else asks JAX for a device.

    coordinator: 'host:port' of process 0. What is None is taken from the environment that TPU pods, Slurm, Open MPI and
    Kubernetes set. timeout: seconds to wait for the others. Raises InputError, within that time, if one is missing.
    """
    given = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < 3:
        raise InputError(
            f"{' and '.join(missing)} not given: state coordinator, processes and process_id, or none of them"
        )
    if processes is not None and process_id is not None and not 0 <= process_id < processes:
        raise InputError(f"process_id is {process_id}: give 0 to {processes - 1}")
    where = coordinator or "the one of the environment"
    line = f"the processes did not come together within {timeout} s: start all {processes or 'of them'}"
    watch = threading.Timer(timeout, _end, [f"{line}, with a coordinator that they can reach ({where})"])
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(coordinator, processes, process_id, initialization_timeout=timeout + 60)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"cannot join the other processes: {str(error).strip().splitlines()[0]}") from error
    finally:
        watch.cancel()


def _end(line: str) -> None:
    """End the process where Python cannot raise: JAX waits in C++, and aborts with a stack trace when it gives up."""
    print(f"jaxclust: error: {line}", file=sys.stderr, flush=True)
    os._exit(2)


def alone() -> bool:
    """Whether there is one process only."""
    return jax.process_count() == 1


def is_first() -> bool:
    """Whether this process decides and writes."""
    return jax.process_index() == 0


def shared(function: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """`function()`, named arrays, called in the first process and given to all; its InputError is raised in all.

    Within `function` the others do not take part: what is shared there stays in the first process.
    """
    if alone() or DECIDING.get():
        return {name: np.asarray(value) for name, value in function().items()}
    if not is_first():
        return _received(_broadcast(b""))
    deciding = DECIDING.set(True)
    try:
        arrays = {name: np.asarray(value) for name, value in function().items()}
    except InputError as error:
        _broadcast(bytes([ERROR]) + str(error).encode())
        raise
    finally:
        DECIDING.reset(deciding)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    _broadcast(bytes([ARRAYS]) + buffer.getvalue())
    return arrays


def agreed(flag: bool) -> bool:
    """The first process's flag, in all."""
    return bool(shared(lambda: {"flag": flag})["flag"])


def shared_tree(template: PyTree, function: Callable[[], PyTree]) -> PyTree:
    """`function()`, a tree like `template`, called in the first process and given to all."""
    if alone() or DECIDING.get():
        return function()
    leaves = shared(lambda: {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(without_keys(function())))})
    tree = jax.tree.unflatten(jax.tree.structure(template), [leaves[str(i)] for i in range(len(leaves))])
    return with_keys(template, tree)


def _received(message: bytes) -> dict[str, np.ndarray]:
    if message[0] == ERROR:
        raise InputError(message[1:].decode())
    with np.load(io.BytesIO(message[1:]), allow_pickle=False) as arrays:
        return dict(arrays)


def _broadcast(message: bytes) -> bytes:
    """The first process's message, in all of them."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size = int(broadcast_one_to_all(np.int32(len(message))))
    sent = np.frombuffer(message, np.uint8) if is_first() else np.zeros(size, np.uint8)
    return np.asarray(broadcast_one_to_all(sent)).astype(np.uint8).tobytes()
