"""`jaxclust doctor`: what this machine and this installation can do, and what is missing."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import tyro

from jaxclust.cli.tables import columns
from jaxclust.system import environment


def main(argv: list[str]) -> None:
    """The command."""
    tyro.cli(lambda: None, prog="jaxclust doctor", description="Tell what this installation can do.", args=argv)
    print("versions")
    print(columns([(name, version or "not installed") for name, version in environment.versions().items()], "  "))
    print("devices")
    print(columns(list(_devices()), "  "))
    print("memory")
    print(columns(list(_memory()), "  "))
    cache = environment.cache_directory()
    print("compile cache")
    state = "on" if environment.has_compilation_cache() else "off (JAX_ENABLE_COMPILATION_CACHE)"
    print(columns([("state", state), ("directory", cache), ("size", f"{_size_mb(cache):.0f} MB")], "  "))
    print("remarks")
    for line in remarks():
        print(f"  {line}")


def remarks() -> Iterator[str]:
    """What is missing, with its remedy; what works as it is."""
    platform = "accelerator" if environment.has_accelerator() else "cpu"
    missing = [name for name, version in environment.versions().items() if version is None]
    if missing:
        yield f"not installed: {', '.join(missing)}; remedy: pip install jaxclust"
    if platform == "accelerator":
        yield "an accelerator is in use: preset auto takes the published settings"
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists():
        yield "an NVIDIA GPU is present but JAX does not see it; remedy: pip install 'jaxclust[cuda]'"
    elif list(Path("/dev").glob("accel*")) or importlib.util.find_spec("libtpu"):
        yield "a TPU may be present but JAX does not see it; remedy: pip install 'jaxclust[tpu]' (not on Colab)"
    else:
        yield "no accelerator found: preset auto takes quick, which is sized for 2 CPU cores"
    if importlib.util.find_spec("tensorflow") is None:
        yield "TensorFlow is not installed: a few data sets of TFDS need it to be prepared; OpenML's copies do not"


def _devices() -> Iterator[tuple[str, str]]:
    for number, name in enumerate(environment.devices()):
        yield str(number), name


def _memory() -> Iterator[tuple[str, str]]:
    machine = environment.machine_memory_mb()
    yield "machine", "unknown" if machine is None else f"{machine / 1000:.1f} GB"
    for number, stats in enumerate(environment.device_memory()):
        if stats and "bytes_limit" in stats:
            yield f"device {number}", f"{stats['bytes_limit'] / 1e9:.1f} GB"


def _size_mb(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
