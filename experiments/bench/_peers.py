"""PyTorch's side of the benchmarks: the networks of `experiments.bench._steps`, layer for layer, and their training."""

import math
import time
from collections.abc import Callable
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

FORMATS = {
    "contiguous": {"memory_format": torch.contiguous_format},
    "channels_last": {"memory_format": torch.channels_last},
}


def _activated(layer: nn.Module, channels: int, norm: type[nn.Module] = nn.BatchNorm2d) -> list[nn.Module]:
    return [layer, norm(channels), nn.Mish()]


def _conv(cin: int, cout: int, stride: int) -> list[nn.Module]:
    return _activated(nn.Conv2d(cin, cout, 3, stride, 1, bias=False), cout)


def _up(cin: int, cout: int) -> list[nn.Module]:
    return _activated(nn.ConvTranspose2d(cin, cout, 3, 2, 1, output_padding=1, bias=False), cout)


def _filters(side: int, first: int) -> tuple[list[int], int]:
    """Filters of each block, and how many blocks from the image inwards have two convolutions."""
    blocks = int(math.log2(side)) - 1
    return [first * 2**i for i in range(blocks)], math.ceil(blocks / 2)


def trunk(side: int, first: int) -> nn.Sequential:
    """The encoder without its last layer: images (b, 1, side, side) -> (b, 4 * filters of the last block)."""
    filters, general = _filters(side, first)
    layers: list[nn.Module] = []
    for i, (cin, cout) in enumerate(pairwise([1, *filters])):
        layers += _conv(cin, cout, 1) + _conv(cout, cout, 2) if i < general else _conv(cin, cout, 2)
    return nn.Sequential(*layers, nn.Flatten())


class ConvVAE(nn.Module):
    """The convolutional VAE of Santos 2020; `forward` gives cost (b,) of images (b, 1, side, side)."""

    def __init__(self, side: int, first: int, latent: int):
        super().__init__()
        filters, general = _filters(side, first)
        self.trunk, top = trunk(side, first), filters[-1]
        self.moments = nn.Linear(4 * top, 2 * latent)
        layers: list[nn.Module] = [nn.Linear(latent, 4 * top, bias=False), nn.Unflatten(1, (top, 2, 2))]
        layers += [nn.BatchNorm2d(top), nn.Mish()]
        for i in reversed(range(len(filters))):
            cin, cout = filters[i], filters[max(i - 1, 0)]
            layers += _up(cin, cin) + _conv(cin, cout, 1) if 0 < i < general else _up(cin, cout)
        self.decoder = nn.Sequential(*layers, nn.Conv2d(first, 1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.moments(self.trunk(x)).chunk(2, 1)
        logits = self.decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
        reconstruction = binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        return reconstruction + 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)


class MLPAutoencoder(nn.Module):
    """Linear layers, batch norm and Mish; `forward` gives the squared error (b,) of features (b, widths[0])."""

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        self.layers = nn.Sequential(*self._half(widths), *self._half(widths[::-1]))

    @staticmethod
    def _half(widths: tuple[int, ...]) -> list[nn.Module]:
        pairs = list(pairwise(widths))
        hidden = [_activated(nn.Linear(a, b, bias=False), b, nn.BatchNorm1d) for a, b in pairs[:-1]]
        return [*chain(*hidden), nn.Linear(*pairs[-1])]

    def forward(self, x: Tensor) -> Tensor:
        return mse_loss(self.layers(x), x, reduction="none").sum(1)


class AECM(nn.Module):
    """Autoencoder with a clustering module; `forward` gives the loss of vectors (b, d), a sum over the batch."""

    def __init__(self, widths: tuple[int, ...], k: int, alpha: float, beta: float):
        super().__init__()
        self.encoder, self.decoder = self._half(widths), self._half(widths[::-1])
        self.responsibilities = nn.Sequential(nn.Linear(widths[-1], k), nn.Softmax(1))
        self.centroids = nn.Linear(k, widths[-1])
        self.k, self.alpha, self.beta = k, alpha, beta

    @staticmethod
    def _half(widths: tuple[int, ...]) -> nn.Sequential:
        layers = [[nn.Linear(a, b), nn.LeakyReLU(0.2)] for a, b in pairwise(widths)]
        return nn.Sequential(*list(chain(*layers))[:-1])

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        g, one = self.responsibilities(z), torch.eye(self.k)
        mu = self.centroids(one)
        loss = self.beta * (self.decoder(z) - x).square().sum() + (g @ mu - z).square().sum()
        loss = loss + (g * (1 - g)).sum() + (mu @ mu.T - one).abs().sum()
        return loss + ((1 - self.alpha) * (g.mean(0) + 1e-10).log()).sum()


class Mixture(nn.Module):
    """Stage 1 of the mixture, experts in a loop; `forward` gives the loss of images (b, 1, side, side)."""

    def __init__(self, side: int, first: int, latent: int, k: int, cost: Callable[[nn.Module], nn.Module]):
        super().__init__()
        self.pixels, top = side * side, _filters(side, first)[0][-1]
        self.manager = nn.Sequential(trunk(side, first), nn.Linear(4 * top, k))
        self.experts = nn.ModuleList(cost(ConvVAE(side, first, latent)) for _ in range(k))

    def forward(self, x: Tensor) -> Tensor:
        pi = self.manager(x).softmax(1)
        costs = torch.stack([expert(x) for expert in self.experts], 1) / self.pixels
        entropies = -torch.special.entr(pi.mean(0)).sum() + 100 * torch.special.entr(pi).sum(1).mean()
        return (pi * costs).sum(1).mean() + entropies


class Training:
    """Adam steps on the mean of `loss(batch)`; calling it does `steps` of them and returns the seconds of one."""

    def __init__(self, loss: nn.Module, batches: list[Tensor], steps: int):
        self.loss, self.batches, self.steps = loss, batches, steps
        self.optimiser = torch.optim.Adam(loss.parameters(), lr=1e-3, fused=True)

    def __call__(self) -> float:
        start = time.perf_counter()
        for i in range(self.steps):
            loss = self.loss(self.batches[i % len(self.batches)]).mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        loss.item()
        return (time.perf_counter() - start) / self.steps
