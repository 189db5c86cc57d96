"""Reads all of an HDF5 file, in a process of its own: `python hdf5_check.py FILE`.

What is damaged may keep the HDF5 library in an endless loop, or end the process that reads it.
"""

import sys

ROWS_BYTES = 1 << 22


def read(path: str) -> None:
    """Everything in the file, a few rows at a time."""
    import h5py

    def visit(name: str, item: object) -> None:
        dict(item.attrs)  # type: ignore[attr-defined]
        if not isinstance(item, h5py.Dataset):
            return
        if not item.shape:
            item[()]
            return
        rows = max(1, ROWS_BYTES * item.shape[0] // max(1, item.size * item.dtype.itemsize))
        for start in range(0, item.shape[0], rows):
            item[start : start + rows]

    with h5py.File(path, "r") as file:
        file.visititems(visit)


if __name__ == "__main__":
    try:
        read(sys.argv[1])
    except ImportError:  # then no other process reads it either
        pass
    except Exception as error:
        sys.exit(" ".join(str(error).split())[:120])
