"""`python -m mnist_digits`, the same as the command `mnist-digits`."""

import sys

from mnist_digits.command.cli import main

if __name__ == "__main__":
    sys.exit(main())
