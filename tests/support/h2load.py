"""A mark for tests that load a server by h2load."""

import shutil

import pytest

needs_h2load = pytest.mark.skipif(
    shutil.which("h2load") is None, reason="h2load is not installed (Debian package nghttp2-client)"
)
