"""Convolutions of two forms with the same parameters, and the batch norm and Mish around them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.nn.activations import mish
from jaxclust.typing import Array

__all__ = ["BatchNorm", "Conv", "ConvTranspose", "conv2d", "conv_transpose2d", "mish", "resolve_form"]

FORMS = ("patches", "native")
_NHWC = ("NHWC", "HWIO", "NHWC")


def resolve_form(form: str = "auto", platform: str | None = None) -> str:
    """Return 'patches' or 'native': the form itself, or for 'auto' the platform's better one."""
    if form in FORMS:
        return form
    if form != "auto":
        raise ValueError(f"form must be 'auto', 'patches' or 'native', not {form!r}")
    return "patches" if (platform or jax.default_backend()) == "cpu" else "native"


def conv2d(x: Array, kernel: Array, strides: int = 1, form: str = "auto") -> Array:
    """SAME convolution of x (b, h, w, cin) with kernel (kh, kw, cin, cout)."""
    if resolve_form(form) == "native":
        return lax.conv_general_dilated(x, kernel, (strides, strides), "SAME", dimension_numbers=_NHWC)
    kh, kw, cin, cout = kernel.shape
    b, h, w, _ = x.shape
    oh, ow = -(-h // strides), -(-w // strides)
    ph = max((oh - 1) * strides + kh - h, 0)
    pw = max((ow - 1) * strides + kw - w, 0)
    x = jnp.pad(x, ((0, 0), (ph // 2, ph - ph // 2 + strides), (pw // 2, pw - pw // 2 + strides), (0, 0)))
    patches = [
        x[:, i : i + oh * strides : strides, j : j + ow * strides : strides] for i in range(kh) for j in range(kw)
    ]
    return jnp.concatenate(patches, -1) @ kernel.reshape(kh * kw * cin, cout)


def conv_transpose2d(x: Array, kernel: Array, strides: int = 2, form: str = "auto") -> Array:
    """SAME transposed convolution of x (b, h, w, cin) with kernel (kh, kw, cin, cout), as lax.conv_transpose."""
    if resolve_form(form) == "native":
        return lax.conv_transpose(x, kernel, (strides, strides), "SAME", dimension_numbers=_NHWC)
    kh, kw, cin, cout = kernel.shape
    b, h, w, _ = x.shape
    rows = [_phase(kh, strides, p) for p in range(strides)]
    cols = [_phase(kw, strides, p) for p in range(strides)]
    x = jnp.pad(x, ((0, 0), (kh, kh), (kw, kw), (0, 0)))
    out = []
    for r in rows:
        for c in cols:
            taps = [(i, j, di, dj) for i, di in r for j, dj in c]
            if not taps:
                out.append(jnp.zeros((b, h, w, cout), x.dtype))
                continue
            patches = [x[:, kh + di : kh + di + h, kw + dj : kw + dj + w] for _, _, di, dj in taps]
            matrix = jnp.concatenate([kernel[i, j] for i, j, _, _ in taps], 0)
            out.append(jnp.concatenate(patches, -1) @ matrix)
    y = jnp.stack(out, 3).reshape(b, h, w, strides, strides, cout)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * strides, w * strides, cout)


def _phase(k: int, s: int, p: int) -> list[tuple[int, int]]:
    """Return the taps of output phase p as (kernel index, input offset)."""
    before = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
    return [(t, (p + t - before) // s) for t in range(k) if (p + t - before) % s == 0]


class Conv(nn.Module):
    """SAME convolution; params kernel (kh, kw, cin, features) and, if asked, bias (features,)."""

    features: int
    strides: int = 1
    kernel_size: tuple[int, int] = (3, 3)
    use_bias: bool = False
    form: str = "auto"
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return _apply(self, x, conv2d)


class ConvTranspose(nn.Module):
    """SAME transposed convolution, strides times larger; the parameters of Conv."""

    features: int
    strides: int = 2
    kernel_size: tuple[int, int] = (3, 3)
    use_bias: bool = False
    form: str = "auto"
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return _apply(self, x, conv_transpose2d)


def _apply(module: Any, x: Array, function: Any) -> Array:
    shape = (*module.kernel_size, x.shape[-1], module.features)
    kernel = module.param("kernel", module.kernel_init, shape, module.param_dtype)
    bias = module.param("bias", nn.initializers.zeros, (module.features,), module.param_dtype) if module.use_bias else None
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=module.dtype)
    y = function(x, kernel, module.strides, module.form)
    return y if bias is None else y + bias


class BatchNorm(nn.Module):
    """Batch norm over all axes but the last, statistics in float32 and weighted by example."""

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = True) -> Array:
        c = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (c,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        ra_mean = self.variable("batch_stats", "mean", jnp.zeros, (c,), jnp.float32)
        ra_var = self.variable("batch_stats", "var", jnp.ones, (c,), jnp.float32)
        xf = x.astype(jnp.float32)
        if not train:
            mean, var = ra_mean.value, ra_var.value
        else:
            axes = tuple(range(x.ndim - 1))
            if weight is None:
                mean, square = xf.mean(axes), (xf * xf).mean(axes)
            else:
                w = weight.astype(jnp.float32).reshape((-1,) + (1,) * (x.ndim - 1))
                n = jnp.maximum(w.sum() * (x.size // (x.shape[0] * c)), 1.0)
                mean, square = (w * xf).sum(axes) / n, (w * xf * xf).sum(axes) / n
            var = jnp.maximum(square - mean * mean, 0.0)
            if not self.is_initializing():
                m = self.momentum
                ra_mean.value = m * ra_mean.value + (1 - m) * mean
                ra_var.value = m * ra_var.value + (1 - m) * var
        factor = scale * lax.rsqrt(var + self.epsilon)
        return (xf * factor + (bias - mean * factor)).astype(self.dtype or x.dtype)
