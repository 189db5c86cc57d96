"""Arrays and tensors of other packages, half floats, masked values."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxclust import KMeans
from jaxclust.data import sources
from jaxclust.data.readers.arrays import as_array
from jaxclust.errors import InputError

X = np.arange(12.0).reshape(4, 3) - 4


class Tensor:
    """As much of a torch.Tensor as is looked at: on a GPU, with a gradient, of a type that NumPy does not have."""

    layout, dtype = "torch.strided", "torch.bfloat16"

    def __init__(self, done=()):
        self.done = done

    def _after(self, step):
        return Tensor((*self.done, step))

    def detach(self):
        return self._after("detach")

    def float(self):
        return self._after("float")

    def cpu(self):
        return self._after("cpu")

    def resolve_conj(self):
        return self

    def resolve_neg(self):
        return self

    def numpy(self):
        assert self.done == ("detach", "float", "cpu")
        return X.astype(np.float32)


Tensor.__module__ = "torch"


class OnGPU:
    """As much of a cupy.ndarray as is looked at."""

    def get(self):
        return X

    def __array__(self):
        raise TypeError("implicit conversion is not allowed")


OnGPU.__module__ = "cupy"


class Exchanged:
    """An array that offers DLPack only."""

    def __dlpack__(self, **kwargs):
        return X.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return X.__dlpack_device__()


class Elsewhere(Exchanged):
    """The same on another device."""

    def __dlpack__(self, **kwargs):
        raise BufferError("on device 7")


class Eager:
    """As much of a TensorFlow tensor as is looked at."""

    def __array__(self, dtype=None, copy=None):
        return X.astype(ml_dtypes.bfloat16)


FORMS = {
    "float16": X.astype(np.float16),
    "bfloat16": X.astype(ml_dtypes.bfloat16),
    "stored bfloat16": X.astype(ml_dtypes.bfloat16).view("V2"),
    "float8": X.astype(ml_dtypes.float8_e5m2fnuz),
    "int4": X.astype(ml_dtypes.int4),
    "big endian": X.astype(">f4"),
    "jax": jnp.asarray(X),
    "jax bfloat16": jnp.asarray(X, jnp.bfloat16),
    "not masked": np.ma.array(X, mask=False),
    "torch": Tensor(),
    "cupy": OnGPU(),
    "dlpack": Exchanged(),
    "tensorflow": Eager(),
    "rows of objects": np.array([*X, None], object)[:-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_as_its_float32_copy(form):
    data = sources.load(FORMS[form])
    assert data.images.dtype == np.float32
    np.testing.assert_array_equal(data.images, X if form != "float8" else X.astype(ml_dtypes.float8_e5m2fnuz))


@pytest.mark.parametrize("form", ["bfloat16", "jax bfloat16", "stored bfloat16", "torch"])
def test_an_estimator_takes_them(form):
    want = KMeans(n_clusters=2, restarts=1, seed=0).fit(X)
    fitted = KMeans(n_clusters=2, restarts=1, seed=0).fit(FORMS[form])
    np.testing.assert_array_equal(fitted.labels_, want.labels_)
    np.testing.assert_array_equal(fitted.predict(FORMS[form]), want.labels_)


def test_images_of_bfloat16_are_scaled_as_floats():
    images = jnp.linspace(0, 1, 36, dtype=jnp.bfloat16).reshape(4, 3, 3)
    assert sources.load(images).images.dtype == np.float32


class DataLoader:
    """No array, though it holds some."""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.ma.array(X, mask=X == 2), "1 values in 1 examples are masked, first in example 2: fill them in"),
        (X.astype("V1"), "values of type |V1 .*save x.astype"),
        (np.zeros(3, [("a", "f4"), ("b", "i4")]), "structured array of the fields a, b"),
        (np.array([X[0], X[1, :2]], object), r"example 1 has the shape \(2,\) where example 0 has \(3,\)"),
        ([[1, 2], [3]], "example 0 holds 2 values and example 1 1: give all one shape"),
        ([[[1, 2]], [[3]]], "examples differ in shape: give all one shape"),
        (Elsewhere(), r"cannot be read from its device \(on device 7\): move it to the CPU"),
        (DataLoader(), "a DataLoader is not an array: give the tensor"),
    ],
)
def test_others_are_refused(data, words):
    for read in (sources.load, KMeans(n_clusters=2).fit):
        with pytest.raises(InputError, match=words) as info:
            read(data)
        assert "\n" not in str(info.value)


def test_real_tensors():
    torch = pytest.importorskip("torch")
    plain = torch.tensor(X)
    forms = [
        plain,
        plain.clone().requires_grad_(),
        plain.bfloat16(),
        plain.half(),
        plain.to_sparse(),
        plain.T.contiguous().T,
    ]
    for tensor in forms:
        np.testing.assert_array_equal(as_array(tensor), X)
    with pytest.raises(InputError, match=r"give its tensor, dataset.tensors\[0\]"):
        sources.load(torch.utils.data.TensorDataset(plain))


def test_real_tensors_of_tensorflow():
    tensorflow = pytest.importorskip("tensorflow")
    for kind in (tensorflow.float32, tensorflow.bfloat16):
        np.testing.assert_array_equal(as_array(tensorflow.constant(X, kind)), X)
