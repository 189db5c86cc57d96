"""How long a training is: the epochs that a config states for it, more where examples are few."""

from typing import Protocol

from jaxclust.train import loop


class InBatches(Protocol):
    """A config with the size of a batch."""

    @property
    def batch_size(self) -> int: ...


class Lengths(InBatches, Protocol):
    """Also with the length of its main training, and the fewest steps of that."""

    @property
    def epochs(self) -> float: ...
    @property
    def min_steps(self) -> int: ...


def per_epoch(config: InBatches, n: int) -> int:
    """Batches that visit n examples once."""
    return -(-n // min(config.batch_size, n))


def epochs_of(config: Lengths, epochs: float, n: int) -> float:
    """Epochs of a training on n examples for which the config states `epochs`.

    All trainings are longer by the factor by which the main one has to be, to have `min_steps`.
    """
    return longer(config, epochs, per_epoch(config, n))


def longer(config: Lengths, epochs: float, batches: int) -> float:
    """The same for epochs of that many batches."""
    return epochs * max(1.0, config.min_steps / (config.epochs * batches))


def length(config: Lengths, epochs: float, batches: int) -> tuple[float, int]:
    """Epochs of that many batches, for which the config states `epochs`, and their steps."""
    epochs = longer(config, epochs, batches)
    return epochs, loop.total_steps(epochs, batches)
