"""``python -m genmat.cli`` is ``genmat``."""

import sys

from genmat.cli import main

if __name__ == "__main__":
    sys.exit(main())
