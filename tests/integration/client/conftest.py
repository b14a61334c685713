"""The server that the client's tests call."""

from tests.integration.serving.conftest import server, start_server, tiny_repository

__all__ = ["server", "start_server", "tiny_repository"]
