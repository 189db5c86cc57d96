"""The benchmark's network in PyTorch: the same layers and widths as `experiments.bench.conv`."""

import math
import time
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


def _conv(cin: int, cout: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.Mish(inplace=False)]


def _up(cin: int, cout: int) -> list[nn.Module]:
    layer = nn.ConvTranspose2d(cin, cout, 3, 2, 1, output_padding=1, bias=False)
    return [layer, nn.BatchNorm2d(cout), nn.Mish(inplace=False)]


class TorchVAE(nn.Module):
    """Convolutional VAE of spec 01 for images (b, 1, side, side)."""

    def __init__(self, side: int, first: int = 32, latent: int = 32):
        super().__init__()
        n = int(math.log2(side)) - 1
        general = math.ceil(n / 2)
        filters = [first * 2**i for i in range(n)]
        encoder: list[nn.Module] = []
        for i, (cin, cout) in enumerate(pairwise([1, *filters])):
            encoder += _conv(cin, cout, 1) + _conv(cout, cout, 2) if i < general else _conv(cin, cout, 2)
        decoder: list[nn.Module] = []
        for i in reversed(range(n)):
            cin, cout = filters[i], filters[max(i - 1, 0)]
            decoder += _up(cin, cin) + _conv(cin, cout, 1) if 0 < i < general else _up(cin, cout)
        self.top = filters[-1]
        self.encoder = nn.Sequential(*encoder, nn.Flatten())
        self.moments = nn.Linear(4 * self.top, 2 * latent)
        self.start = nn.Linear(latent, 4 * self.top)
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(first, 1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, log_var = self.moments(self.encoder(x)).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return self.decoder(self.start(z).view(-1, self.top, 2, 2)), mean, log_var


class TorchTraining:
    """Training steps on random images held in memory; `run(steps)` returns the seconds they took."""

    def __init__(self, side: int, batch: int, memory_format: torch.memory_format, threads: int = 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.model = TorchVAE(side).to(memory_format=memory_format)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        images = torch.rand(10 * batch, 1, side, side)
        self.batches = [b.contiguous(memory_format=memory_format) for b in images.split(batch)]

    def run(self, steps: int) -> float:
        start = time.perf_counter()
        for i in range(steps):
            x = self.batches[i % len(self.batches)]
            logits, mean, log_var = self.model(x)
            reconstruction = binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()
            loss = (reconstruction + kl) / len(x)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        loss.item()
        return time.perf_counter() - start
