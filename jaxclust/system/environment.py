"""The machine and the installed packages: versions, devices, memory, the compilation cache."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxclust import __version__
from jaxclust.errors import InputError

PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn", "umap-learn",
    "hdbscan", "grain",
)  # fmt: skip

CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def versions() -> dict[str, str | None]:
    """Python's and the packages' versions by name; None for what is not installed."""
    return {"python": platform.python_version(), "jaxclust": __version__, **{name: _version(name) for name in PACKAGES}}


def start_jax() -> ModuleType:
    """JAX with its devices.

    Raises InputError where JAX_PLATFORMS names a platform that it cannot start, and in a process that was forked from
    one in which JAX runs: there it waits for threads that were not copied, for ever.
    """
    import jax

    if _process_of_jax() != os.getpid():
        raise InputError(
            "this process was forked from one that runs JAX, which hangs then: start workers by joblib or by "
            "multiprocessing.get_context('spawn'), or fork before the first fit, load or predict"
        )
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        named = jax.config.jax_platforms  # type: ignore[attr-defined]
        if not named:
            raise
        reason = str(error).partition("\n")[0].partition(" (set JAX_PLATFORMS")[0]
        why = f" ({reason.rstrip('.')})" if reason else ""
        raise InputError(
            f"JAX_PLATFORMS is {named!r}, which JAX cannot start here{why}: unset it, or set JAX_PLATFORMS=cpu"
        ) from error
    return jax


@cache
def _process_of_jax() -> int:
    """The process that started JAX; children that are forked from it inherit the answer."""
    return os.getpid()


def devices() -> list[str]:
    """JAX's devices in words, for instance ['cpu: cpu']."""
    return [f"{device.platform}: {device.device_kind}" for device in start_jax().devices()]


def has_accelerator() -> bool:
    """Whether JAX sees a TPU or a GPU."""
    return bool(start_jax().default_backend() != "cpu")


def peak_memory_mb() -> float | None:
    """The most memory that this process held so far, in MB (10^6 bytes); None where the system does not tell."""
    try:  # Linux: what getrusage tells there may be the parent's
        status = Path("/proc/self/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6, 1)
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def machine_memory_mb() -> float | None:
    """The memory of the machine, or of the container that limits it, in MB; None where the system does not tell."""
    sizes = []
    with suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in CONTAINER_LIMITS:
        with suppress(ValueError, OSError):  # "max": no limit
            sizes.append(int(Path(path).read_text()))
    return round(min(sizes) / 1e6, 1) if sizes and min(sizes) > 0 else None


def memory_for_data() -> float | None:
    """Bytes of the smallest of the machine's memory and each device's; None where nothing tells."""
    sizes = [memory["bytes_limit"] for memory in device_memory() if memory and "bytes_limit" in memory]
    machine = machine_memory_mb()
    return min([*sizes, *([machine * 1e6] if machine else [])], default=None)


def device_memory() -> list[dict[str, Any] | None]:
    """What each device says about its memory, bytes by name; None for a device that says nothing (a CPU)."""
    return [device.memory_stats() for device in start_jax().local_devices()]


def cache_directory() -> str | None:
    """Where compiled programs are kept: JAX_COMPILATION_CACHE_DIR, or jaxclust/ in the user's cache directory.

    None where there is no home directory, or nothing can be written there.
    """
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return os.path.expanduser(chosen)
    try:
        directory = user_caches() / "jaxclust" / "compiled"
        directory.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError):
        return None
    return str(directory) if os.access(directory, os.W_OK) else None


def user_caches() -> Path:
    """The user's cache directory. Raises RuntimeError where there is no home directory, which nobody shall make."""
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"])
    if sys.platform == "linux" and os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    home = Path.home()
    if not home.is_dir():
        raise RuntimeError(f"{home} is no directory")
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


NO_CACHE = "compiled programs are not kept, for no cache directory can be written: JAX_COMPILATION_CACHE_DIR names one"


def enable_compilation_cache(note: Callable[[str], None] = lambda text: None) -> None:
    """Keep compiled programs between processes, so that only the first run on a machine waits for the compiler.

    JAX_ENABLE_COMPILATION_CACHE=false turns it off. note: told where there is no place to keep them.
    """
    import jax

    directory = cache_directory()
    if directory is None and has_compilation_cache():
        note(NO_CACHE)
    jax.config.update("jax_compilation_cache_dir", directory)


def has_compilation_cache() -> bool:
    """Whether compiled programs are kept: JAX_ENABLE_COMPILATION_CACHE is not false."""
    import jax

    return bool(jax.config.jax_enable_compilation_cache)  # type: ignore[attr-defined]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
