"""Chips that a program can be compiled for without having one: topologies, memory and the makers' stated rates."""

import importlib.util
import os
from typing import Any, NamedTuple

import jax

from jaxclust.errors import InputError

ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",  # there is no metadata server to ask what this machine is
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_STDERR_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",  # no cuDNN, cuBLAS, ... are needed to compile
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
REMEDY = "pip install '.[aot]'"


class Chip(NamedTuple):
    """One chip: memory in bytes, bfloat16 products in operations a second (dense), memory bandwidth in bytes a second.

    source: where these stand.  config: what XLA must know of a GPU, as its text proto; '' for a TPU.
    """

    memory: int
    flops: float
    bandwidth: float
    source: str
    config: str = ""


class Target(NamedTuple):
    """Some chips of a kind. platform: 'tpu' or 'cuda'. topology: their arrangement, in the words of the platform."""

    name: str
    chip: Chip
    count: int
    platform: str
    topology: str

    def devices(self) -> list[jax.Device]:
        """Devices to compile for; nothing can run on them. Raises InputError where the compiler is not installed."""
        from jax.experimental import topologies

        needed = "libtpu" if self.platform == "tpu" else "jax_plugins.xla_cuda12"
        _require(needed, self.name)
        if self.platform == "tpu":
            single = {"chips_per_host_bounds": [1, 1, 1]} if self.count == 1 else {}
            described = topologies.get_topology_desc(self.topology, platform="tpu", **single)
        else:
            _require("nvidia.cuda_nvcc", self.name)
            described = topologies.get_topology_desc(
                "gpu", platform="cuda", topology=self.topology, target_config=self.chip.config
            )
        return list(described.devices)

    def options(self) -> dict[str, Any]:
        """Compiler options: less effort where the compiler knows how, since nothing is run.

        A GPU's are those of LLVM and ptxas, which come after everything that is read here.
        """
        if self.platform == "tpu":
            return {"exec_time_optimization_effort": -1.0}
        return {
            "xla_backend_optimization_level": 0,
            "xla_llvm_disable_expensive_passes": True,
            "xla_gpu_disable_gpuasm_optimizations": True,
        }


def _require(module: str, target: str) -> None:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise InputError(f"{target}: {module} is not installed: {REMEDY}, or leave the target out with --target")


def prepare() -> None:
    """Set the environment of the compilers, and keep JAX itself on the CPU. Call before JAX looks for devices."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    jax.config.update("jax_platforms", "cpu")


def _card(name: str, major: int, cores: int, units: int, clock: float, shared: int, cache: int, chip: Chip) -> Chip:
    """An NVIDIA card. cores: multiprocessors; units: float32 units of each; clock: GHz; shared: bytes of shared memory
    of a multiprocessor, of which a block can have all but 1 KiB; cache: bytes of L2."""
    config = f"""
        gpu_device_info {{
            cuda_compute_capability {{ major: {major} minor: 0 }}
            core_count: {cores} fpus_per_core: {units} clock_rate_ghz: {clock}
            device_memory_size: {chip.memory} memory_bandwidth: {int(chip.bandwidth)} l2_cache_size: {cache}
            shared_memory_per_core: {shared} shared_memory_per_block_optin: {shared - 1024}
            shared_memory_per_block: 49152
            threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
            registers_per_core_limit: 65536 registers_per_block_limit: 65536
            thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
            block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
        }}
        platform_name: "CUDA"
        dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
        device_description_str: "{name}"
    """
    return chip._replace(config=config)


V5E = Chip(16 * 10**9, 197e12, 819e9, "Google Cloud documentation, TPU v5e: 16 GB, 197 TFLOPS bf16, 819 GB/s")
V6E = Chip(32 * 10**9, 918e12, 1640e9, "Google Cloud documentation, TPU v6e: 32 GB, 918 TFLOPS bf16, 1640 GB/s")
H100 = _card(
    "NVIDIA H100 80GB HBM3", 9, 132, 128, 1.98, 228 * 1024, 50 * 2**20,
    Chip(80 * 10**9, 989e12, 3350e9, "NVIDIA H100 data sheet, SXM: 80 GB, 989 TFLOPS bf16 dense, 3.35 TB/s"),
)  # fmt: skip
A100 = _card(
    "NVIDIA A100-SXM4-80GB", 8, 108, 64, 1.41, 164 * 1024, 40 * 2**20,
    Chip(80 * 10**9, 312e12, 2039e9, "NVIDIA A100 data sheet, SXM 80 GB: 80 GB, 312 TFLOPS bf16 dense, 2039 GB/s"),
)  # fmt: skip

TARGETS = (
    Target("v5e:1x1", V5E, 1, "tpu", "v5e:1x1"),
    Target("v5e:2x2", V5E, 4, "tpu", "v5e:2x2"),
    Target("v6e:2x2", V6E, 4, "tpu", "v6e:2x2"),
    Target("h100:4", H100, 4, "cuda", "1x1x4"),
    Target("a100:4", A100, 4, "cuda", "1x1x4"),
)


def find(name: str) -> Target:
    """The target called `name`. Raises InputError for an unknown one."""
    for target in TARGETS:
        if target.name == name:
            return target
    raise InputError(f"target {name!r} is unknown: choose one of {', '.join(target.name for target in TARGETS)}")
