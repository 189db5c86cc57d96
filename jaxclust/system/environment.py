"""The machine and the installed packages: versions, devices, memory, the compilation cache."""

import importlib.metadata
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from jaxclust import __version__

PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn", "umap-learn",
    "hdbscan", "grain",
)  # fmt: skip

CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def versions() -> dict[str, str | None]:
    """Python's and the packages' versions by name; None for what is not installed."""
    return {"python": platform.python_version(), "jaxclust": __version__, **{name: _version(name) for name in PACKAGES}}


def devices() -> list[str]:
    """JAX's devices in words, for instance ['cpu: cpu']."""
    import jax

    return [f"{device.platform}: {device.device_kind}" for device in jax.devices()]


def has_accelerator() -> bool:
    """Whether JAX sees a TPU or a GPU."""
    import jax

    return jax.default_backend() != "cpu"


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
    import jax

    return [device.memory_stats() for device in jax.local_devices()]


def cache_directory() -> Path:
    """Where compiled programs are kept: JAX_COMPILATION_CACHE_DIR, or jaxclust/ in the user's cache directory."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "jaxclust" / "compiled"


def enable_compilation_cache() -> None:
    """Keep compiled programs between processes, so that only the first run on a machine waits for the compiler.

    JAX_ENABLE_COMPILATION_CACHE=false turns it off.
    """
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))


def has_compilation_cache() -> bool:
    """Whether compiled programs are kept: JAX_ENABLE_COMPILATION_CACHE is not false."""
    import jax

    return bool(jax.config.jax_enable_compilation_cache)  # type: ignore[attr-defined]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
