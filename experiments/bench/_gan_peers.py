"""PyTorch's side of hc-mgan's benchmark: its networks and one iteration of algorithms 3.2 and 3.3 of Mello 2021.

Written as the text has it: D, C and G have a pass of their own each. What needs no gradient gets none.
"""

import time
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

NOISE = 100


def _adam(rate: float, *modules: nn.Module) -> torch.optim.Adam:
    params = [p for module in modules for p in module.parameters()]
    return torch.optim.Adam(params, rate, (0.5, 0.999), fused=True)


class GAN(nn.Module):
    """Generator(s), discriminator and classifier for images (b, 1, side, side)."""

    def __init__(self, side: int, width: float, generators: int):
        super().__init__()
        seed, middle, *maps = (max(1, round(width * count)) for count in (128, 64, 128, 256, 512))
        self.generators = nn.ModuleList(
            nn.Sequential(
                nn.Linear(NOISE, (side // 4) ** 2 * seed),
                nn.ReLU(),
                nn.Unflatten(1, (seed, side // 4, side // 4)),
                nn.ConvTranspose2d(seed, middle, 4, 2, 1),
                nn.ReLU(),
                nn.ConvTranspose2d(middle, 1, 4, 2, 1),
                nn.Tanh(),
            )
            for _ in range(generators)
        )
        layers: list[nn.Module] = []
        for cin, cout in pairwise([1, *maps]):
            layers += [nn.Conv2d(cin, cout, 5, 2, 2), nn.GroupNorm(1, cout), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        size = maps[-1] * (side // 8) ** 2
        self.d, self.c = nn.Linear(size, 1), nn.Linear(size, 2)

    def prepare(self) -> None:
        self.optimisers = _adam(1e-4, self.features, self.d), _adam(2e-5, self.c), _adam(2e-4, self.generators)

    def judge(self, real: Tensor, fakes: list[Tensor]) -> None:
        """Updates D and the features."""
        self.features.requires_grad_(True)
        logits = self.d(self.features(torch.cat([real, *(fake.detach() for fake in fakes)])))[:, 0]
        _step(self.optimisers[0], softplus(-logits[: len(real)]).mean() + softplus(logits[len(real) :]).mean())

    def classify(self, fakes: list[Tensor], labels: Tensor) -> None:
        """Updates C."""
        with torch.no_grad():
            seen = self.features(torch.cat([fake.detach() for fake in fakes]))
        _step(self.optimisers[1], cross_entropy(self.c(seen), labels))


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _blurred(x: Tensor) -> Tensor:
    return x + 0.5 * torch.randn_like(x)


class RawSplit:
    """A timer of raw-split iterations; `wrap` goes around the features, `layout` is their memory format."""

    def __init__(self, side: int, width: float, batch: int, steps: int, wrap: Any, layout: Any):
        self.gan = GAN(side, width, 2).to(memory_format=layout)
        self.gan.features = wrap(self.gan.features)
        self.gan.prepare()
        self.real = torch.rand(batch, 1, side, side).to(memory_format=layout)
        self.labels, self.steps = torch.arange(2).repeat_interleave(batch), steps

    def iteration(self) -> None:
        gan = self.gan
        fakes = [_blurred(make(torch.rand(len(self.real), NOISE))) for make in gan.generators]
        gan.judge(_blurred(self.real), fakes)
        gan.classify(fakes, self.labels)
        gan.features.requires_grad_(False)
        seen = gan.features(torch.cat(fakes))
        _step(gan.optimisers[2], softplus(-gan.d(seen)).mean() + cross_entropy(gan.c(seen), self.labels))

    def __call__(self) -> float:
        start = time.perf_counter()
        for _ in range(self.steps):
            self.iteration()
        return (time.perf_counter() - start) / self.steps


class Refinement(RawSplit):
    """A timer of refinement iterations of both groups, one after the other."""

    def __init__(self, side: int, width: float, batch: int, steps: int, wrap: Any, layout: Any):
        super().__init__(side, width, batch, steps, wrap, layout)
        self.groups = [GAN(side, width, 1).to(memory_format=layout) for _ in range(2)]
        for gan in self.groups:
            gan.features = wrap(gan.features)
            gan.prepare()

    def iteration(self) -> None:
        for which, (own, other) in enumerate((self.groups, self.groups[::-1])):
            fake = _blurred(own.generators[0](torch.rand(len(self.real), NOISE)))
            with torch.no_grad():
                theirs = _blurred(other.generators[0](torch.rand(len(self.real), NOISE)))
            own.judge(_blurred(self.real), [fake])
            own.classify([fake, theirs], self.labels if which == 0 else 1 - self.labels)
            for gan in self.groups:
                gan.features.requires_grad_(False)
            seen, there = own.features(fake), other.features(fake)
            labels = torch.full((len(fake),), which)
            apart = cross_entropy(own.c(seen), labels) + cross_entropy(other.c(there), labels)
            _step(own.optimisers[2], softplus(-own.d(seen)).mean() + apart / 2)
