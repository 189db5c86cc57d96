"""Examples that stay on disk: rows read when they are asked for, and the next ones while the last are used."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np

BLOCK_BYTES = 1 << 22  # of examples that are looked at together
THREADS, AHEAD = 2, 2  # that read, and results that wait to be used

Reader: TypeAlias = Callable[[np.ndarray], np.ndarray]
T = TypeVar("T")


class LazyArray:
    """An array-like of n rows of which only those that are indexed are in memory, as a new NumPy array.

    The index goes along the first axis: a slice, integers, booleans, or one integer. `rows[:]` reads everything;
    numpy.asarray(rows), which would do so by accident, is a TypeError.

    Args:
      shape: (n, ...).
      dtype: of the values.
      read: row numbers (m,) int64 in [0, n) -> those rows (m, ...). Threads call it.
      checked: whether `data.dataset.standard` has looked at the values.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, read: Reader, checked: bool = False):
        self.shape, self.dtype, self.checked = tuple(int(length) for length in shape), np.dtype(dtype), checked
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, int | np.integer):
            return self[np.array([index])][0]
        return self._read(self._numbers(index))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(f"rows of shape {self.shape} stay on disk: index those that are needed, or all by [:]")

    def take(self, index: Any) -> Self:
        """The rows of that index, still on disk."""
        numbers = self._numbers(index)
        shape = (len(numbers), *self.shape[1:])
        return type(self)(shape, self.dtype, lambda chosen: self._read(numbers[chosen]), self.checked)

    def map(self, function: Callable[[np.ndarray], np.ndarray], shape: Sequence[int], dtype: Any) -> Self:
        """`function` of the rows, computed when they are read: (m, ...) -> (m, *shape) of dtype, each row alone."""
        return type(self)((len(self), *shape), dtype, lambda numbers: function(self._read(numbers)))

    def _numbers(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)))
        numbers = np.asarray(index)
        if numbers.dtype == bool:
            if numbers.shape != (len(self),):
                raise IndexError(f"a mask of shape {numbers.shape} does not suit {len(self)} rows")
            return np.flatnonzero(numbers)
        numbers = numbers.astype(np.int64)
        if numbers.ndim != 1 or (len(numbers) and not -len(self) <= numbers.min() <= numbers.max() < len(self)):
            raise IndexError(f"an index of shape {numbers.shape} that passes the {len(self)} rows, or is not (m,)")
        return np.where(numbers < 0, numbers + len(self), numbers)


Images: TypeAlias = np.ndarray | LazyArray


def of_array(array: np.ndarray, checked: bool = False) -> LazyArray:
    """An array in memory, to be fed to the device part by part. checked: see `LazyArray`."""
    return LazyArray(array.shape, array.dtype, lambda numbers: array[numbers], checked)


def joined(parts: Sequence[LazyArray]) -> LazyArray:
    """Parts of one dtype and row shape, one after the other."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *map(len, parts)])

    def read(numbers: np.ndarray) -> np.ndarray:
        out = np.empty((len(numbers), *parts[0].shape[1:]), parts[0].dtype)
        owner = np.searchsorted(starts, numbers, side="right") - 1
        for part in np.unique(owner):
            here = np.flatnonzero(owner == part)
            out[here] = parts[part][numbers[here] - starts[part]]
        return out

    return LazyArray((int(starts[-1]), *parts[0].shape[1:]), parts[0].dtype, read)


def take(images: Images, index: np.ndarray) -> Images:
    """images[index], which stays on disk where the images do."""
    return images.take(index) if isinstance(images, LazyArray) else images[index]


def blocks(images: Any, size: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """All rows of an array or of `LazyArray` in order, `size` at a time, each block with the number of its first row.

    By default as many rows as BLOCK_BYTES hold: a function of dtype and row shape alone.
    """
    step = size or max(1, BLOCK_BYTES // max(1, images.dtype.itemsize * int(np.prod(images.shape[1:]))))
    starts = range(0, len(images), step)

    def block(start: int) -> tuple[int, np.ndarray]:
        return start, images[start : start + step]

    return prefetched(block, starts) if isinstance(images, LazyArray) else map(block, starts)


def limits(images: Images) -> tuple[float, float]:
    """The lowest and the highest value."""
    ends = [(float(block.min()), float(block.max())) for _, block in blocks(images)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def prefetched(function: Callable[[int], T], numbers: range) -> Iterator[T]:
    """`function` of each number, in order, the next few computed by grain's threads while the last is used."""
    import grain  # more than a second of imports: only where data are streamed

    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD)
    places = grain.MapDataset.range(len(numbers)).map(lambda place: function(numbers[place]))
    iterator = iter(places.to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()
