"""Benchmark of the convolution forms: `python -m experiments.bench.conv`, under 4 minutes.

Every group is measured in interleaved rounds and compared within a round, since other programs share the
machine: the tables give the median over rounds. PyTorch (extra `bench`) is left out if it is not installed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from math import ceil, log2
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from experiments.bench._timing import Timer, interleaved, ratio
from jaxclust.nn.activations import mish
from jaxclust.nn.conv import Conv, ConvTranspose, conv2d, conv_transpose2d, over_networks
from jaxclust.nn.norm import BatchNorm
from jaxclust.typing import Array

BATCH, FIRST, LATENT, EXPERTS = 100, 32, 32, 10


class Norm(nn.Module):
    """Batch norm and Mish, ours or flax's."""

    form: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.form != "nn.Conv":
            return mish(BatchNorm()(x))
        x = nn.BatchNorm(use_running_average=False, momentum=0.9)(x)
        return x * jnp.tanh(nn.softplus(x))


class VAE(nn.Module):
    """The convolutional VAE of spec 01 in a form: 'patches', 'native' or 'nn.Conv'."""

    form: str

    def conv(self, features: int, strides: int = 1, bias: bool = False) -> nn.Module:
        if self.form == "nn.Conv":
            return nn.Conv(features, (3, 3), (strides, strides), use_bias=bias)
        return Conv(features, strides, use_bias=bias, form=self.form)

    def up(self, features: int) -> nn.Module:
        if self.form == "nn.Conv":
            return nn.ConvTranspose(features, (3, 3), (2, 2), use_bias=False)
        return ConvTranspose(features, form=self.form)

    @nn.compact
    def __call__(self, x: Array, key: Array) -> tuple[Array, Array, Array]:
        blocks, channels = int(log2(x.shape[1])) - 1, x.shape[-1]
        general = ceil(blocks / 2)
        filters = [FIRST * 2**i for i in range(blocks)]
        for i, f in enumerate(filters):
            if i < general:
                x = Norm(self.form)(self.conv(f)(x))
            x = Norm(self.form)(self.conv(f, 2)(x))
        mean, log_var = jnp.split(nn.Dense(2 * LATENT)(x.reshape(len(x), -1)), 2, -1)
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)
        x = nn.Dense(4 * filters[-1], use_bias=False)(z).reshape(-1, 2, 2, filters[-1])
        x = Norm(self.form)(x)
        for i in reversed(range(blocks)):
            below = filters[max(i - 1, 0)]
            x = Norm(self.form)(self.up(filters[i] if i < general else below)(x))
            if 0 < i < general:
                x = Norm(self.form)(self.conv(below)(x))
        return self.conv(channels, bias=True)(x), mean, log_var


def loss_of(form: str) -> Callable[..., Any]:
    """Return loss(params, stats, images, key) -> (loss, new statistics)."""

    def loss(params: Any, stats: Any, x: Array, key: Array) -> tuple[Array, Any]:
        variables = {"params": params, "batch_stats": stats}
        (logits, mean, log_var), new = VAE(form).apply(variables, x, key, mutable=["batch_stats"])
        reconstruction = optax.sigmoid_binary_cross_entropy(logits, x).sum()
        kl = 0.5 * (mean**2 + jnp.exp(log_var) - 1 - log_var).sum()
        return (reconstruction + kl) / len(x), new["batch_stats"]

    return loss


def training(form: str, side: int, steps: int, scanned: bool = True, experts: int = 0) -> Timer:
    """Return a timer of training steps with Adam, the data resident; experts: stacked networks, shared images."""
    data = jax.random.uniform(jax.random.key(1), (10, BATCH, side, side, 1))
    init = jax.vmap(VAE(form).init, (0, None, None)) if experts else VAE(form).init
    keys = jax.random.split(jax.random.key(0), experts) if experts else jax.random.key(0)
    variables = jax.jit(init)(keys, data[0], jax.random.key(2))
    optimiser = optax.adam(1e-3)
    gradient = jax.value_and_grad(loss_of(form), has_aux=True)
    over_experts = jax.vmap if form == "nn.Conv" else partial(over_networks, form=form)

    def step(state: Any, i: Array) -> tuple[Any, None]:
        params, stats, moments = state
        images, key = data[i % len(data)], jax.random.fold_in(jax.random.key(3), i)
        if experts:
            (_, stats), grads = over_experts(lambda p, s: gradient(p, s, images, key))(params, stats)
        else:
            (_, stats), grads = gradient(params, stats, images, key)
        updates, moments = optimiser.update(grads, moments)
        return (optax.apply_updates(params, updates), stats, moments), None

    state = (variables["params"], variables["batch_stats"], optimiser.init(variables["params"]))
    if scanned:
        whole = jax.jit(lambda state: lax.scan(step, state, jnp.arange(steps))[0], donate_argnums=0)
    else:
        single = jax.jit(lambda state, i: step(state, i)[0], donate_argnums=0)

    def run() -> float:
        nonlocal state
        start = time.perf_counter()
        if scanned:
            state = whole(state)
        else:
            for i in range(steps):
                state = single(state, i)
        jax.block_until_ready(state)
        return (time.perf_counter() - start) / steps

    return run


def torch_training(side: int, steps: int) -> dict[str, Timer]:
    """Return timers of the same training in PyTorch, by memory format; none without torch."""
    try:
        from experiments.bench import _peers
    except ImportError:
        print("torch is not installed: its rows are left out (pip install '.[bench]')")
        return {}
    timers: dict[str, Timer] = {}
    for name, memory_format in _peers.FORMATS.items():
        batches = [batch.to(**memory_format) for batch in _peers.torch.rand(10, BATCH, 1, side, side)]
        module = _peers.ConvVAE(side, FIRST, LATENT).to(**memory_format)
        timers[f"PyTorch {name}"] = _peers.Training(module, batches, steps)
    return timers


def layer(function: Callable[..., Array], cin: int, cout: int, side: int, strides: int, experts: int) -> Timer:
    """Return a timer of value and gradients of one layer inside a scan; experts: stacked kernels and images."""
    lead = (experts,) if experts else ()
    x = jax.random.normal(jax.random.key(0), (*lead, BATCH, side, side, cin))
    kernel = jax.random.normal(jax.random.key(1), (*lead, 3, 3, cin, cout)) * 0.1

    def loss(kernel: Array, x: Array) -> Array:
        return jnp.square(function(x, kernel, strides)).sum()

    gradient = jax.grad(loss, argnums=(0, 1))
    if experts:
        gradient = jax.vmap(gradient)
    steps = 2

    def step(carry: Any, _: None) -> tuple[Any, None]:
        kernel, x = carry
        dkernel, dx = gradient(kernel, x)
        return (kernel - 1e-9 * dkernel, x - 1e-9 * dx), None

    run = jax.jit(lambda carry: lax.scan(step, carry, None, length=steps)[0])

    def timer() -> float:
        start = time.perf_counter()
        jax.block_until_ready(run((kernel, x)))
        return (time.perf_counter() - start) / steps

    return timer


def layers_table(limit: float) -> None:
    """Print our patches against XLA's convolution for the layers of the network, alone and stacked."""
    print(f"\nvalue and gradients of one layer in a scan, batch {BATCH}: ms")
    print(f"{'layer':34}{'experts':>8}{'patches':>10}{'lax.conv':>10}{'ratio':>8}")
    shapes = [
        ("3x3, 32 -> 64, 8 x 8", conv2d, 32, 64, 8, 1),
        ("3x3, 32 -> 1, 16 x 16", conv2d, 32, 1, 16, 1),
        ("3x3 stride 2, 32 -> 32, 16 x 16", conv2d, 32, 32, 16, 2),
        ("3x3 transposed, 64 -> 32, 8 x 8", conv_transpose2d, 64, 32, 8, 2),
    ]
    for name, function, cin, cout, side, strides in shapes:
        for experts in (0, EXPERTS):
            make = partial(layer, cin=cin, cout=cout, side=side, strides=strides, experts=experts)
            timers = {form: make(partial(function, form=form)) for form in ("patches", "native")}
            seconds = interleaved(timers, 5, limit)
            ms = [1e3 * statistics.median(seconds[form]) for form in timers]
            times = ratio(seconds, ["native"], "patches")
            print(f"{name:34}{experts or 1:>8}{ms[0]:>10.2f}{ms[1]:>10.2f}{times:>7.1f}x", flush=True)


def training_table(side: int, steps: int, limit: float) -> None:
    """Print images a second of training the VAE in each formulation."""
    timers = {
        "patches, scan": training("patches", side, steps),
        "patches, step by step": training("patches", side, steps, scanned=False),
        "nn.Conv, step by step": training("nn.Conv", side, 2, scanned=False),
        **torch_training(side, steps),
    }
    if side == 16:
        timers["nn.Conv, scan"] = training("nn.Conv", side, 1)
    seconds = interleaved(timers, 7, limit)
    print(f"\nVAE training, {side} x {side} x 1, first filters {FIRST}, batch {BATCH}, float32")
    for name, values in seconds.items():
        print(f"{name:34}{BATCH / statistics.median(values):>10.0f} images/s  (best {BATCH / min(values):.0f})")
    rivals = [name for name in timers if name.startswith("PyTorch")]
    if rivals:
        target = {16: 1.3, 32: 1.0}[side]
        print(f"patches in a scan: {ratio(seconds, rivals, 'patches, scan'):.2f} x PyTorch's best (aim {target})")
    print(f"patches in a scan: {ratio(seconds, ['nn.Conv, step by step'], 'patches, scan'):.2f} x nn.Conv", flush=True)


def experts_table(side: int, limit: float) -> None:
    """Print a training step of stacked experts, one after the other, against vmapped nn.Conv."""
    timers = {
        "patches, scan": training("patches", side, 4, experts=EXPERTS),
        "nn.Conv, step by step": training("nn.Conv", side, 1, scanned=False, experts=EXPERTS),
    }
    seconds = interleaved(timers, 3, limit)
    print(f"\n{EXPERTS} experts, value_and_grad of each, {side} x {side} x 1, batch {BATCH} shared: ms a step")
    for name, values in seconds.items():
        print(f"{name:34}{1e3 * statistics.median(values):>10.0f}")
    times = ratio(seconds, ["nn.Conv, step by step"], "patches, scan")
    print(f"patches: {times:.1f} x vmapped nn.Conv (aim 5)", flush=True)


def main() -> None:
    """Run the parts asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=["16", "32", "experts", "layers"], help="repeatable")
    parser.add_argument("--limit", type=float, default=20, help="seconds of measurement for a table's group")
    arguments = parser.parse_args()
    parts = arguments.only or ["16", "32", "experts", "layers"]
    print(f"jax {jax.__version__} on {jax.devices()[0].platform}, {jax.local_device_count()} device(s)")
    if "16" in parts:
        training_table(16, 10, arguments.limit)
    if "32" in parts:
        training_table(32, 8, arguments.limit)
    if "experts" in parts:
        experts_table(16, arguments.limit)
    if "layers" in parts:
        layers_table(arguments.limit / 10)


if __name__ == "__main__":
    main()
