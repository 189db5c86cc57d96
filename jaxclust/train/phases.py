"""The phases of a run: each is done once, its result kept on disk, so that a killed run goes on where it was."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from jaxclust.data.rows import Images
from jaxclust.host import seeds
from jaxclust.numerics import fold_name
from jaxclust.system import environment
from jaxclust.train import history, hosts, loop, warm
from jaxclust.train import mesh as meshes
from jaxclust.train.batches import Batches, even, shuffled
from jaxclust.train.checkpoint import Checkpoints
from jaxclust.train.kept import Kept
from jaxclust.train.programs import options, within_memory
from jaxclust.train.progress import Reporter, Silent, alive
from jaxclust.train.training import Batch, TrainState
from jaxclust.typing import Array, Key, PyTree

log = logging.getLogger(__name__)

LONG = 180.0  # seconds from which a training is announced
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class Trainable(Protocol):
    """The part of a `train.training.Training` that a training needs."""

    @property
    def init(self) -> Callable[[Key, tuple[int, ...]], TrainState]: ...

    @property
    def step(self) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]: ...

    @property
    def stacked(self) -> Callable[[TrainState], PyTree] | None: ...

    @property
    def choose_rows(self) -> Callable[[TrainState, Array, int], Array] | None: ...


class Phases:
    """Runs named phases in order; what is already on disk is read instead.

    Args:
      directory: the run directory. None keeps nothing; of several processes the first one alone has it.
      report: told what happens.
      save_every: seconds between two checkpoints of a training.
      mesh: the devices that train; all by default.
      start: networks with which trainings begin, instead of random ones.

    seconds: how long each phase took, in order, over all resumes.
    first_steps: seconds from the beginning of a training to the end of its first chunk, compilation included, for the
             trainings of this process.
    kept:    whether there is a run directory, here or in the first process.
    taken:   how many arrays trainings have of `start`.
    """

    def __init__(
        self,
        directory: Path | None = None,
        report: Reporter | None = None,
        save_every: float = 60.0,
        mesh: Mesh | None = None,
        start: warm.Start | None = None,
    ):
        self.directory = directory
        self.report = report or Silent()
        self.save_every = save_every
        self.mesh = mesh
        self.start = start
        self.taken = 0
        self.kept = bool(hosts.shared(lambda: {"kept": directory is not None})["kept"])
        self._kept = None if directory is None else Kept(directory, self.report.note)
        self.seconds = {} if self._kept is None else self._kept.seconds()
        self.first_steps: dict[str, float] = {}
        self._used: set[str] = set()

    def note(self, text: str) -> None:
        """One line to the user."""
        self.report.note(text)

    def compute(self, name: str, function: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """A phase on the host: `function()` -> named arrays (of kinds that .npz holds), or those kept on disk."""
        self._begin(name)
        return hosts.shared(lambda: self._compute(name, function))

    def _compute(self, name: str, function: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        found = None if self._kept is None else self._kept.arrays(name)
        if found is not None:
            self.note(f"{name}: kept from before")
            return found
        self.report.phase(name)
        start = time.perf_counter()
        with alive(self.report):
            arrays = {key: np.asarray(value) for key, value in function().items()}
        if self._kept is not None:
            self._kept.write(name, arrays)
        self._finish(name, time.perf_counter() - start)
        return arrays

    def known(self, name: str) -> bool:
        """Whether `compute` has the result of that phase from before."""
        return hosts.agreed(self._kept is not None and self._kept.arrays(name) is not None)

    def forget(self, name: str) -> None:
        """Delete the checkpoints of a training whose outcome another phase keeps; they may be large."""
        if self._kept is not None:
            self._kept.forget(name)

    def train(
        self,
        name: str,
        training: Trainable,
        images: Images | Array,
        *,
        key: Key,
        epochs: float,
        batch_size: int | None = None,
        batches: Batches | None = None,
        state: TrainState | None = None,
    ) -> TrainState:
        """A phase on the device: train `training`, with checkpoints from which it goes on bit by bit.

        Args:
          images: (n, ...) uint8 or float32, or `LazyArray`.
          key: gives the initial state and the order of the examples.
          epochs: how often every example is visited.
          batch_size: most examples a batch (batches.even), or else `batches`, their order.
          state: where to start, instead of a fresh one; it is donated.

        Raises:
          Diverged: the loss is not finite.
          InputError: the device's memory does not suffice.
        """
        self._begin(name)
        begun = time.perf_counter()
        if batches is None:
            if batch_size is None:
                raise TypeError("give batch_size or batches")
            batches = shuffled(len(images), even(len(images), batch_size), seeds.seed(key, "order"))
        total = loop.total_steps(epochs, batches.per_epoch)
        shape = (batches.size, *images.shape[1:])
        self.report.phase(name)
        self.report.compiling()
        with alive(self.report), self._checkpoints(name) as checkpoints:
            start = state if state is not None else self.begun(name, training, fold_name(key, "init"), shape)
            latest = self._latest(checkpoints)
            if latest is not None:
                start = hosts.shared_tree(start, lambda: _restore(checkpoints, start))
                if latest >= total:
                    self.note(f"{name}: kept from before")
                    return start
                self.note(f"{name}: goes on from step {latest} of {total}")
            with within_memory(f"training {name!r}", "lower --batch-size; or stream the data with --stream on"):
                return self._run(name, training, start, images, batches, total, checkpoints, begun)

    def begun(self, name: str, training: Trainable, key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        """The state in which a training begins: `initial`, with what suits of the networks that are to begin with."""
        state = initial(training, key, batch_shape)
        if self.start is None:
            return state
        state, taken, others = warm.begun(self.start, name, state)
        self.taken += taken
        told = warm.line(self.start, name, taken, others)
        if others:
            log.warning("%s", told)
        else:
            self.note(told)
        return state

    def _run(
        self,
        name: str,
        training: Trainable,
        state: TrainState,
        images: Images | Array,
        batches: Batches,
        total: int,
        checkpoints: Checkpoints | None,
        begun: float,
    ) -> TrainState:
        before, saved = self.seconds.get(name, 0.0), time.perf_counter()
        done: list[int] = []
        if self.directory is not None:
            history.truncate(self.directory, name, int(state.step))

        mesh = self.mesh or meshes.make_mesh()
        networks = meshes.undivided(mesh, state, training.stacked)
        if networks:
            self.note(f"{name}: {dict(mesh.shape)} does not divide {networks} networks: all devices share the batches")

        def on_chunk(chunk: loop.Progress) -> None:
            nonlocal saved
            now = time.perf_counter()
            done.append(chunk.steps_done)
            if len(done) == 2:  # the first chunk is compiled: it says nothing about the rate
                left = (total - done[1]) * chunk.seconds / (done[1] - done[0])
                if left > LONG:
                    self.note(estimate(left))
            if name not in self.first_steps:
                self.first_steps[name] = round(now - begun, 3)
                self.note(f"first steps after {now - begun:.1f} s, compilation included")
            self.report.progress(chunk.steps_done, chunk.n_steps, chunk.examples / chunk.seconds, chunk.terms)
            spent, epoch = before + now - begun, chunk.steps_done / batches.per_epoch
            if self.directory is not None:
                history.append(self.directory, name, chunk.steps_done, epoch, spent, chunk.terms)
            if self.kept and hosts.agreed(now - saved >= self.save_every):
                whole = chunk.state if hosts.alone() else meshes.collect(chunk.state)
                if checkpoints is not None:
                    checkpoints.save(chunk.steps_done, whole)
                self._keep_time(name, spent)
                saved = time.perf_counter()

        state = loop.run(
            training.step,
            state,
            images,
            batches,
            total,
            on_chunk=on_chunk,
            mesh=mesh,
            stacked=training.stacked,
            choose_rows=training.choose_rows,
        )
        if checkpoints is not None:
            checkpoints.save(total, state)
        self._finish(name, before + time.perf_counter() - begun)
        return state

    def _checkpoints(self, name: str) -> AbstractContextManager[Checkpoints | None]:
        return nullcontext() if self._kept is None else self._kept.checkpoints(name)

    def _latest(self, checkpoints: Checkpoints | None) -> int | None:
        """The step of the newest checkpoint of the process that writes; None if there is none."""
        latest = None if checkpoints is None else checkpoints.latest
        found = int(hosts.shared(lambda: {"latest": -1 if latest is None else latest})["latest"])
        return None if found < 0 else found

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Report and time work whose results the caller keeps itself."""
        self._begin(name)
        self.report.phase(name)
        start = time.perf_counter()
        with alive(self.report):
            yield
        self._finish(name, time.perf_counter() - start)

    def _begin(self, name: str) -> None:
        if not NAME.fullmatch(name) or name in self._used:
            raise ValueError(f"phase {name!r}: names are file names in lower case, each used once")
        self._used.add(name)

    def _keep_time(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(seconds, 3)
        if self._kept is not None:
            self._kept.write_seconds(self.seconds)

    def _finish(self, name: str, seconds: float) -> None:
        self._keep_time(name, seconds)
        self.report.done(seconds)


def estimate(left: float) -> str:
    """What a training takes that goes on for so many seconds, and what to lower.

    Trainings after it are not counted: methods do not state their steps, and each of them takes another time.
    """
    memory = environment.peak_memory_mb()
    known = [stats["peak_bytes_in_use"] for stats in environment.device_memory() if stats]
    used = [f"{memory:,.0f} MB of memory"] if memory else []
    used += [f"{max(known) / 1e6:,.0f} MB of a device's"] if known else []
    told = f"about {left / 60:.0f} min for this training, {' and '.join(used)} up to now"
    return f"{told}: fewer epochs take less time, a lower --batch-size takes less memory"


def _restore(checkpoints: Checkpoints | None, template: TrainState) -> TrainState:
    assert checkpoints is not None, "the process that writes has the checkpoints"
    return checkpoints.restore(template)


def initial(training: Trainable, key: Key, batch_shape: tuple[int, ...]) -> TrainState:
    """`training.init` as one program: many times as fast as operation by operation.

    batch_shape: of a batch's examples, (b, ...).
    """
    return jax.jit(training.init, static_argnums=1, compiler_options=options(once=True))(key, batch_shape)
