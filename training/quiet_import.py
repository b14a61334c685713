"""Keeps TensorFlow's start-up notes off the screen, without losing them when the import fails."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stderr_held_back() -> Iterator[None]:
    """What native code writes to file descriptor 2 inside the block is shown only if the block raises.

    TF_CPP_MIN_LOG_LEVEL does not reach these lines: TensorFlow writes them before its logging has started.
    """
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
