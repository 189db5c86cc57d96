"""How far mirrored images are from the others, set by set, as Markdown: `python -m experiments.mirrored`.

1 where left and right tell nothing; `flip auto` mirrors up to jaxclust.host.mirror.LIKE. Files are those of
JAXCLUST_DATA.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from experiments.data_files import path
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.host import mirror

SETS = ("digits", "usps", "mnist10k", "fmnist10k", "palm_16", "orl_32", "cifar10k")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 where a file is missing."""
    argparse.ArgumentParser(prog="python -m experiments.mirrored", description=__doc__.splitlines()[0]).parse_args(argv)
    print("| images | distance to the nearest, mirrored / as they are | mirrored by auto |\n|---|---|---|")
    try:
        for name in SETS:
            images = np.asarray(sources.load(name if name == "digits" else str(path(f"{name}.npz"))).images)
            found = mirror.strangeness(images, seed=0)
            print(f"| {name} | {found:.2f} | {'yes' if found <= mirror.LIKE else 'no'} |", flush=True)
    except InputError as error:
        print(f"experiments.mirrored: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
