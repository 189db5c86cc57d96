"""PyTorch's side of the benchmarks: the networks of `experiments.bench._steps`, layer for layer, and their training."""

import math
import time
from collections.abc import Callable
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cosine_similarity,
    leaky_relu,
    mse_loss,
    softplus,
)

from experiments.bench._gan_peers import GAN as GAN
from experiments.bench._gan_peers import RawSplit, Refinement
from experiments.bench._timing import Timer

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


class Moments(nn.Module):
    """A convolution, then means and log-variances of latent maps: (b, cin, side, side) -> (b, side * side) each."""

    def __init__(self, cin: int, features: int):
        super().__init__()
        self.cell = nn.Sequential(*_conv(cin, features, 1))
        self.mean, self.log_var = nn.Conv2d(features, 1, 1), nn.Conv2d(features, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.cell(x)
        return self.mean(x).flatten(1), -softplus(self.log_var(x).flatten(1))


class Critic(nn.Module):
    """D(z) and D(z^) (b,) each, normalised by the statistics of draws z of the prior."""

    def __init__(self, size: int, widths: tuple[int, ...]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise((size, *widths)))
        self.scales = nn.ParameterList(torch.ones(width) for width in widths)
        self.shifts = nn.ParameterList(torch.zeros(width) for width in widths)
        self.last = nn.Linear(widths[-1], 1)

    def forward(self, prior: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        b, z = len(prior), torch.cat([prior, code])
        for layer, scale, shift in zip(self.layers, self.scales, self.shifts, strict=True):
            z = layer(z)
            var, mean = torch.var_mean(z[:b], 0, correction=0)
            z = leaky_relu((z - mean) * torch.rsqrt(var + 1e-5) * scale + shift, 0.2)
        real, fake = self.last(z)[:, 0].split(b)
        return real, fake


class HRWAE(nn.Module):
    """hrwae-gan with relativistic critics; `forward` gives the sum of both its losses for images (b, 1, side, side).

    The critics' parameters are constants in the autoencoder's loss, and codes are in the critics'.
    """

    def __init__(self, side: int, first: int, latent: int, groups: int, widths: tuple[int, ...] = (256, 256)):
        super().__init__()
        filters, _ = _filters(side, first)
        top, self.groups = filters[-1], groups
        self.down = nn.ModuleList(nn.Sequential(*_conv(a, b, 2)) for a, b in pairwise([1, *filters]))
        self.mean, self.log_var = nn.Linear(4 * top, latent), nn.Linear(4 * top, latent)
        self.first = nn.Sequential(
            nn.Linear(latent, 4 * top, bias=False), nn.Unflatten(1, (top, 2, 2)), nn.BatchNorm2d(top), nn.Mish()
        )
        maps = [*filters[::-1], filters[0]]
        self.up = nn.ModuleList(nn.Sequential(*_up(a, b)) for a, b in pairwise(maps))
        below = maps[1:groups]
        self.encoder_combiners = nn.ModuleList(Moments(2 * count, count) for count in below)
        self.priors = nn.ModuleList(Moments(count, count) for count in below)
        self.decoder_combiners = nn.ModuleList(nn.Sequential(*_conv(count + 1, count, 1)) for count in below)
        self.last = nn.Conv2d(first, 1, 3, 1, 1)
        sizes = [latent, *(4 ** (level + 1) for level in range(1, groups))]
        self.critics = nn.ModuleList(Critic(size, widths) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        pairs, matching, logits = self.walk(x)
        loss = binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1) + 50 * matching
        self.critics.requires_grad_(False)
        for level, (critic, (prior, code)) in enumerate(zip(self.critics, pairs, strict=True)):
            real, fake = critic(prior, code)
            loss = loss + 0.5**level * softplus(real - fake)
        self.critics.requires_grad_(True)
        for level, (critic, (prior, code)) in enumerate(zip(self.critics, pairs, strict=True)):
            real, fake = critic(prior.detach(), code.detach())
            loss = loss + 0.5**level * softplus(fake - real)
        return loss

    def walk(self, x: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
        """A draw of the prior and of the posterior for each group, the layer matching (b,), and logits."""
        seen, h = [], x
        for cell in self.down:
            h = cell(h)
            seen.append(h)
        mean, log_var = self.mean(h.flatten(1)), -softplus(self.log_var(h.flatten(1)))
        code = _draw(mean, log_var)
        pairs, matching, h = [(torch.randn_like(code), code)], torch.zeros(len(x)), self.first(code)
        for level, cell in enumerate(self.up, 1):
            h = cell(h)
            if level < self.groups:
                of_encoder = seen[-1 - level]
                matching = matching + 1 - cosine_similarity(of_encoder.flatten(1), h.flatten(1))
                code = _draw(*self.encoder_combiners[level - 1](torch.cat([of_encoder, h], 1)))
                pairs.append((_draw(*self.priors[level - 1](h)), code))
                latent = code.view(len(x), 1, *h.shape[2:])
                h = self.decoder_combiners[level - 1](torch.cat([h, latent], 1))
        return pairs, matching, self.last(h)


def _draw(mean: Tensor, log_var: Tensor) -> Tensor:
    return mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)


def gans(refine: bool, side: int, width: float, batch: int, steps: int, compiled: bool) -> dict[str, Timer]:
    """Timers of hc-mgan's iterations by name: of a raw split or a refinement."""
    kind = Refinement if refine else RawSplit
    wraps = {"": lambda module: module, **({", compiled": torch.compile} if compiled else {})}
    return {
        f"PyTorch {name}{ending}": kind(side, width, batch, steps, wrap, layout["memory_format"])
        for name, layout in FORMATS.items()
        for ending, wrap in wraps.items()
    }


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
