"""The client's former place goes on working, and says where the client is."""

import importlib
import sys

import pytest

import mnist_digits


def test_importing_from_the_former_place_works_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "serving.client", raising=False)
    with pytest.warns(DeprecationWarning, match="serving.client is now mnist_digits"):
        former = importlib.import_module("serving.client")
    assert all(getattr(former, name) is getattr(mnist_digits, name) for name in former.__all__)
