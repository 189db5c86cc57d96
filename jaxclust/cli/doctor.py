"""`jaxclust doctor`: what this machine and this installation can do, and what is missing.

It is asked where something is broken, so that each of its sections says what it can and lives through all else.
"""

import argparse
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from jaxclust.cli.tables import columns
from jaxclust.errors import InputError
from jaxclust.system import environment, paths

Rows = Iterator[tuple[str, object]]


def main(argv: list[str]) -> None:
    """The command."""
    reader = argparse.ArgumentParser(prog="jaxclust doctor", description="Tell what this installation can do.")
    if unknown := reader.parse_known_args(argv)[1]:
        raise InputError(f"option {unknown[0]} is unknown: jaxclust doctor has none")
    sections: tuple[tuple[str, Callable[[], Rows]], ...] = (
        ("versions", _versions),
        ("devices", _devices),
        ("memory", _memory),
        ("compile cache", _cache),
    )
    for title, rows in sections:
        print(title)
        print(columns(list(_surviving(rows)), "  "))
    print("remarks")
    for line in remarks():
        print(f"  {line}")


def remarks() -> Iterator[str]:
    """What is missing, with its remedy; what works as it is."""
    for part in (_of_packages, _of_devices, _of_places):
        for name, text in _surviving(part):
            yield f"{name}: {text}" if name else str(text)


def _surviving(rows: Callable[[], Rows]) -> Rows:
    """Rows, and in place of an error, whatever it is, a row that tells it."""
    try:
        yield from rows()
    except InputError as error:
        yield "cannot tell", error
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        yield "cannot tell", f"{type(error).__name__}: {lines[0]}".rstrip(": ")


def _versions() -> Rows:
    for name, version in environment.versions().items():
        yield name, version or "not installed"


def _devices() -> Rows:
    for number, name in enumerate(environment.devices()):
        yield str(number), name


def _memory() -> Rows:
    machine = environment.machine_memory_mb()
    yield "machine", "unknown" if machine is None else f"{machine / 1000:.1f} GB"
    for number, stats in enumerate(environment.device_memory()):
        if stats and "bytes_limit" in stats:
            yield f"device {number}", f"{stats['bytes_limit'] / 1e9:.1f} GB"


def _cache() -> Rows:
    cache = environment.cache_directory()
    on = cache is not None and environment.has_compilation_cache()
    why = "no place for it" if cache is None else "JAX_ENABLE_COMPILATION_CACHE"
    yield "state", "on" if on else f"off ({why})"
    if cache is not None:
        yield "directory", cache
        if not paths.is_url(cache):
            yield "size", f"{_size_mb(Path(cache)):.0f} MB"


def _of_packages() -> Rows:
    missing = [name for name, version in environment.versions().items() if version is None]
    if missing:
        yield "not installed", f"{', '.join(missing)}; remedy: pip install jaxclust"
    if importlib.util.find_spec("tensorflow") is None:
        yield "", "TensorFlow is not installed: a few data sets of TFDS need it to be prepared; OpenML's copies do not"


def _of_devices() -> Rows:
    if environment.has_accelerator():
        yield "", "an accelerator is in use: preset auto takes full"
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists():
        yield "", "an NVIDIA GPU is present but JAX does not see it; remedy: pip install 'jaxclust[cuda]'"
    elif list(Path("/dev").glob("accel*")) or importlib.util.find_spec("libtpu"):
        yield "", "a TPU may be present but JAX does not see it; remedy: pip install 'jaxclust[tpu]' (not on Colab)"
    else:
        yield "", "no accelerator found: preset auto takes quick, which is sized for 2 CPU cores"
    if any(device.startswith(("gpu", "cuda", "rocm")) for device in environment.devices()):
        share = os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.75")
        whole = os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "true").lower() in ("true", "1")
        taken = f"takes {share} of it at the start" if whole else "takes it as it is needed"
        yield (
            "memory of the GPU",
            (
                f"JAX {taken}; beside another framework set XLA_PYTHON_CLIENT_PREALLOCATE=false, "
                "or a smaller share by XLA_PYTHON_CLIENT_MEM_FRACTION"
            ),
        )


def _of_places() -> Rows:
    if environment.cache_directory() is None:
        yield "", environment.NO_CACHE
    try:
        known = Path.home().is_dir()
    except RuntimeError:
        known = False
    if not known:
        yield "", "no home directory is known: ~ in paths means nothing; set HOME"


def _size_mb(directory: Path) -> float:
    total = 0
    for path in directory.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total / 1e6
