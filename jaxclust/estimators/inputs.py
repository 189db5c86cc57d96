"""What estimators are given as X, looked at as scikit-learn's conventions ask; errors are lines of ours."""

import os
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from jaxclust.data import sources
from jaxclust.data.dataset import Dataset
from jaxclust.data.readers import frames, lists, memory, path_tables
from jaxclust.data.readers.arrays import as_array
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError, WrongType


def as_input(X: Any) -> Any:  # noqa: N803
    """X as `sources.load` takes it: `LazyArray`, matrices of scipy.sparse and tables as they are, else a numeric array;
    or a `Dataset`, where X is one, a path or a list of images.

    The array is (n, d), (n, h, w) or (n, h, w, c), of any number type; its values are not looked at.
    Raises InputError for what is complex, of one dimension or without columns; WrongType for objects that are no
    numbers.
    """
    X = lists.unrolled(X)  # noqa: N806
    if isinstance(X, LazyArray | Dataset) or issparse(X):
        return X
    if isinstance(X, str | os.PathLike) or lists.is_list(X):
        return sources.load(X)
    if frames.is_frame(X) and path_tables.of_frame(X) is not None:
        return sources.load(X)
    if memory.is_table(X):  # its values are looked at later: names are compared first
        if frames.is_frame(X):
            frames.refuse_classes(X)
        return X
    array = _numbers(as_array(X, "X"))
    if array.dtype.kind == "c":
        raise InputError(f"X: Complex data not supported: its type is {array.dtype}: give real numbers, such as abs(X)")
    if array.ndim == 1:
        raise InputError(
            f"X has shape {array.shape} where (n, d) is expected. Reshape your data: X.reshape(1, -1) is one example, "
            "X.reshape(-1, 1) one feature"
        )
    if array.ndim == 2 and array.shape[1] == 0:
        raise InputError(f"X has 0 feature(s) (shape={array.shape}) while a minimum of 1 is required: give columns")
    return array


def as_training(X: Any) -> Any:  # noqa: N803
    """`as_input` of what is to be fitted: a single example is an InputError."""
    data = as_input(X)
    shape = data.images.shape if isinstance(data, Dataset) else data.shape
    if shape[:1] == (1,):
        raise InputError(f"X holds 1 sample (shape {shape}): clustering needs at least 2")
    return data


def features(X: Any, data: Any) -> dict[str, Any]:  # noqa: N803
    """What a fit notes about columns: n_features_in_, and feature_names_in_ of a DataFrame; nothing about images.

    X: as given.  data: `as_input` of it. Raises WrongType for names of which only some are strings.
    """
    noted = BaseEstimator()
    _validate(noted, X, data, reset=True)
    return vars(noted)


def check_features(estimator: Any, X: Any, data: Any) -> None:  # noqa: N803
    """Raises InputError where columns are not those that were fitted, in scikit-learn's words (names: several lines).

    estimator: has what `features` noted.  X, data: as for `features`.
    """
    _validate(estimator, X, data, reset=False)


def _validate(estimator: Any, X: Any, data: Any, reset: bool) -> None:  # noqa: N803
    if isinstance(data, Dataset):
        X = data = data.images  # noqa: N806
    elif memory.is_table(X):
        X = data = memory.described(X)  # noqa: N806
    try:
        validate_data(estimator, X, reset=reset, skip_check_array=True, ensure_2d=len(data.shape) == 2)
    except TypeError as error:
        raise WrongType(str(error)) from error
    except ValueError as error:
        raise InputError(str(error)) from error


def _numbers(array: np.ndarray) -> np.ndarray:
    """Objects as float64; other arrays as they are."""
    if array.dtype != object:
        return array
    try:
        return array.astype(np.float64)
    except TypeError as error:  # "float() argument must be a string or a real number, not 'dict'"
        raise WrongType(f"X holds objects, one of them no number: {error}: give numbers") from error
    except ValueError as error:
        raise InputError(f"X holds objects, one of them no number: {error}: give numbers") from error
