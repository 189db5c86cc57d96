"""A fit under way: what all its phases share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Self, TypeVar

import jax
import numpy as np

from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images, take
from jaxclust.host import mirror, sampling, seeds
from jaxclust.methods.shared.extent import Extent, vectors
from jaxclust.methods.shared.lengths import InBatches
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.batches import Batches
from jaxclust.train.phases import Phases, Trainable
from jaxclust.train.training import TrainState
from jaxclust.typing import Key

C = TypeVar("C", bound=InBatches, covariant=True)


@dataclass(frozen=True)
class Job(Generic[C]):
    """What a method's `fit` is given.

    config:     its settings.
    images:     prepared examples: (n, side, side, c) uint8 or (n, d) float32.
    preprocess: how raw data became these.
    key:        of everything random.
    phases:     runs the phases, and keeps what they find.
    """

    config: C
    images: Images
    preprocess: Preprocess
    key: Key
    phases: Phases

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example: (side, side, c) or (d,)."""
        return self.images.shape[1:]

    @property
    def extent(self) -> Extent:
        """Where the data of an example lie."""
        return Extent.of(self.preprocess)

    @property
    def are_features(self) -> bool:
        """Whether the examples are features, not images."""
        return self.preprocess.kind == "features"

    def looked_at(self) -> Self:
        """The same with `flip` 'auto' decided by the images: True where mirrored ones look like the others."""
        config: Any = self.config
        if getattr(config, "flip", None) != "auto":
            return self
        rows, seed = sampling.sample(self.n, mirror.LOOKED + mirror.AMONG, self.seed("mirror")), self.seed("mirrored")
        flip = not self.are_features and mirror.symmetric(take(self.images, rows)[:], seed)
        if flip:
            self.note("mirrored images look like the others: they are trained on too")
        return replace(self, config=replace(config, flip=flip))

    def seed(self, name: str) -> int:
        """An integer for what is random on the host."""
        return seeds.seed(self.key, name)

    def note(self, text: str) -> None:
        """One line to the user."""
        self.phases.note(text)

    def compute(self, name: str, function: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """A phase on the host (`Phases.compute`)."""
        return self.phases.compute(name, function)

    def train(
        self,
        name: str,
        training: Trainable,
        epochs: float,
        *,
        images: Images | None = None,
        key: Key | None = None,
        batches: Batches | None = None,
        state: TrainState | None = None,
    ) -> TrainState:
        """A phase on the device (`Phases.train`).

        images: instead of all.  key: instead of the name's.  batches: instead of shuffled ones of the config's size.
        """
        seen = self.images if images is None else images
        size = min(self.config.batch_size, len(seen)) if batches is None else None
        key = fold_name(self.key, name) if key is None else key
        return self.phases.train(
            name, training, seen, key=key, epochs=epochs, batch_size=size, batches=batches, state=state
        )

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Some rows (m,) as vectors without padding, for phases on the host: (m, d) float32."""
        program = jax.jit(partial(vectors, self.extent))
        return loop.in_batches(program, take(self.images, rows), together=False)
