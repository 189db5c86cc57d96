"""`python -m jaxclust`."""

import sys

from jaxclust.cli.main import main

sys.exit(main())
