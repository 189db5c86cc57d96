"""`python -m jaxclust`."""

import sys

from jaxclust.cli import main

sys.exit(main())
