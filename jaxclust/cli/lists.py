"""`jaxclust methods` and `jaxclust data`: what there is to choose from."""

from jaxclust import methods as registry
from jaxclust.cli.options import read
from jaxclust.cli.tables import columns
from jaxclust.data.sources import BUILT_IN
from jaxclust.methods.base import PRESETS, Method

OWN_DATA = """
or your own:
  a folder of images       sub-folders, if there are any, are classes, for evaluation only, or parts (train, val, test);
                           an archive of such a folder: .zip, .tar, .tar.gz
  a folder of shards       .npy or .npz files of one shape and type, one after the other by name
  an .npz file             images (n, h, w[, c]) or features (n, d); optional labels, split, names
  a sparse .npz file       features, as scipy.sparse.save_npz writes them; NAME.labels.npy may lie beside it
  a table                  .csv, .tsv, .csv.gz, .parquet or .feather with a header: columns of numbers are features, or
                           one of lists of numbers; one called label, labels, class or target is for evaluation only,
                           one called split is train or test, one called id, file, path or name names the examples
  a table of paths         the same with a column of image files and none of numbers
  an .h5ad file            AnnData's X and obs_names; needs anndata
  an .npy file             images or features
  an idx or idx.gz file    as MNIST's; labels are found beside it
  tfds:NAME, openml:NAME   any data set of TensorFlow Datasets or OpenML"""


def methods(argv: list[str]) -> None:
    """The command `jaxclust methods`."""
    read(_nothing, "jaxclust methods", argv, "List the methods.")
    found = [registry.find(name) for name in registry.METHODS]
    print("\n\n".join("\n  ".join(lines(method)) for method in found))


def lines(method: Method) -> list[str]:
    """What is said of a method: name, title, source, and the presets for single sets of data, where there are any."""
    own = [name for name in method.presets if name not in PRESETS]
    return [method.name, method.title, method.source, *([f"also --preset {', '.join(own)}"] if own else [])]


def data(argv: list[str]) -> None:
    """The command `jaxclust data`."""
    read(_nothing, "jaxclust data", argv, "List the built-in data sets.")
    rows = [("name", "examples", "shape", "classes", "from", "what")]
    for entry in BUILT_IN.values():
        shape = "x".join(map(str, entry.shape))
        rows.append((entry.name, str(entry.n), shape, str(entry.n_classes), entry.how, entry.origin))
    print(columns(rows))
    print(OWN_DATA)


def _nothing() -> None:
    pass
