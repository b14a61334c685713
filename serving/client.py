"""The client's former place: `python -m serving.client` and `from serving.client import …` still work, with a note.

The client is a distribution of its own now: the package `mnist_digits` with the command `mnist-digits`.
"""

import sys
import warnings

from mnist_digits import AsyncDigitClient, CallError, DigitClient, ImageError, ModelDescription, Prediction
from mnist_digits.command.cli import main

__all__ = ["AsyncDigitClient", "CallError", "DigitClient", "ImageError", "ModelDescription", "Prediction"]

if __name__ == "__main__":
    print("note: `python -m serving.client` is now `mnist-digits`, or `python -m mnist_digits`", file=sys.stderr)
    sys.exit(main())
warnings.warn("serving.client is now mnist_digits: import from there", DeprecationWarning, stacklevel=2)
