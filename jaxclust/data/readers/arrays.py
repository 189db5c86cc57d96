"""Arrays of any package as NumPy's: PyTorch, TensorFlow, JAX, CuPy, masked arrays, half floats. None is imported."""

from typing import Any

import numpy as np

from jaxclust.errors import InputError

SPARSE_LAYOUT = "torch.strided"  # of every other layout a dense copy is made
NARROW = ("bfloat16", "float8", "float4")  # types of tensors that NumPy does not have
REMEDIES = {
    "DataLoader": "give the tensor of all examples, such as torch.cat([x for x, _ in loader])",
    "TensorDataset": "give its tensor, dataset.tensors[0]",
    "DatasetDict": "give one of its parts, such as data['train']",
    "IterableDatasetDict": "give one of its parts, as a datasets.Dataset",
    "IterableDataset": "load it without streaming=True",
    "LazyFrame": "call collect() first",
}  # for objects that hold arrays but are none


def package(data: Any) -> str:
    """The package that defines the object's type."""
    return type(data).__module__.partition(".")[0]


def as_array(data: Any, name: str = "data") -> np.ndarray:
    """An array-like as a NumPy array, a tensor on a GPU included; types that NumPy does not have become float32.

    Raises InputError, which starts with `name`, for masked values, for void types other than stored bfloat16, and for
    objects that are no arrays.
    """
    if isinstance(data, np.ma.MaskedArray):
        _refuse_masked(data, name)
        data = data.data
    elif package(data) == "torch" and hasattr(data, "detach"):
        data = _from_torch(data)
    elif package(data) == "cupy" and hasattr(data, "get"):
        data = data.get()
    elif hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
        data = _from_dlpack(data, name)
    elif not hasattr(data, "__array__"):
        _refuse_others(data, name)
    try:
        array = np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise InputError(f"{name}: {_unequal(data)}: give all one shape") from error
    return as_numbers(_stacked(array, name), name)


def as_numbers(array: np.ndarray, name: str = "data") -> np.ndarray:
    """An array of a type that `standard_type` knows, as that type; others as they are."""
    stored, target = standard_type(array.dtype, name)
    return array if target == array.dtype else np.asarray(array).view(stored).astype(target)


def standard_type(dtype: np.dtype, name: str = "data") -> tuple[np.dtype, np.dtype]:
    """The type of the values that are stored as `dtype`, and NumPy's own type that holds them all.

    bfloat16, float8 and float4 become float32, int4 and narrower int16. numpy.save writes bfloat16 as two bytes without
    a type, '|V2': these are read as bfloat16, the only type of two bytes that NumPy does not have. Raises InputError,
    which starts with `name`, for other void types: one byte may be any of many types.
    """
    import ml_dtypes

    if dtype.kind != "V":
        return dtype, dtype
    if dtype.names is not None:
        raise InputError(
            f"{name}: a structured array of the fields {', '.join(dtype.names)[:60]}: give numbers (n, d), as "
            "numpy.lib.recfunctions.structured_to_unstructured(x) makes them"
        )
    if dtype.type is np.void and dtype.itemsize == 2:
        dtype = np.dtype(ml_dtypes.bfloat16)
    if dtype.type.__module__ != "ml_dtypes" or "complex" in dtype.name:
        raise InputError(
            f"{name}: values of type {dtype} are not numbers that can be told apart (float8 and int4 lose their type "
            "when saved): save x.astype('float32')"
        )
    return dtype, np.dtype(np.float32 if "float" in dtype.name else np.int16)


def _refuse_masked(data: Any, name: str) -> None:
    masked = np.ma.getmaskarray(data)
    if masked.any():
        rows = masked.reshape(len(masked), -1).any(1) if masked.ndim else masked
        raise InputError(
            f"{name}: {int(masked.sum())} values in {int(rows.sum())} examples are masked, first in example "
            f"{int(rows.argmax())}: fill them in, as x.filled(0) does, or drop those examples"
        )


def _refuse_others(data: Any, name: str) -> None:
    kinds = [part.__name__ for part in type(data).__mro__ if part.__name__ in REMEDIES]
    if kinds:
        raise InputError(f"{name}: a {kinds[0]} is not an array: {REMEDIES[kinds[0]]}")


def _from_dlpack(data: Any, name: str) -> np.ndarray:
    try:
        return np.from_dlpack(data)
    except (BufferError, RuntimeError) as error:
        raise InputError(f"{name}: cannot be read from its device ({error}): move it to the CPU") from error


def _from_torch(tensor: Any) -> Any:
    """A tensor on any device, that may require a gradient, be sparse, or of a type that NumPy does not have."""
    tensor = tensor.detach()
    if str(tensor.layout) != SPARSE_LAYOUT:
        tensor = tensor.to_dense()
    if any(kind in str(tensor.dtype) for kind in NARROW):
        tensor = tensor.float()
    return tensor.cpu().resolve_conj().resolve_neg().numpy()


def _unequal(data: Any) -> str:
    """Which of the lists in a list is the first that is not as long as the first."""
    lengths = [len(row) if hasattr(row, "__len__") else 1 for row in data]
    place = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if place is None:
        return "examples differ in shape"
    return f"example 0 holds {lengths[0]} values and example {place} {lengths[place]}"


def _stacked(array: np.ndarray, name: str) -> np.ndarray:
    """An array of one object, an array or list of numbers, an example, as (n, d); others as they are."""
    if array.dtype != object or array.ndim != 1 or not len(array):
        return array
    if not all(isinstance(row, np.ndarray | list | tuple) for row in array):
        return array
    rows = [np.asarray(row) for row in array]
    for place, row in enumerate(rows):
        if row.shape != rows[0].shape:
            raise InputError(
                f"{name}: example {place} has the shape {row.shape} where example 0 has {rows[0].shape}: "
                "give all one shape"
            )
    return np.stack(rows)
