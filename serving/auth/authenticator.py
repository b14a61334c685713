"""Who a call is from, and whether that one may make it. Rereads the file of keys when it changes."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from serving.auth.api_keys import ADMIN, ApiKeys, Caller, read_keys
from serving.errors import ConfigError, ForbiddenError, UnauthenticatedError
from serving.files import file_stamp
from serving.logging import Logger

LOOK_SECONDS = 1.0  # how long a key that is taken from the file may still be good
_BEARER = "bearer "


class Asker(Protocol):
    """What tells who asks: a call of gRPC's, or one that came by HTTP."""

    def peer(self) -> str:
        """The connection that it came by."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What came with it."""


class OpenGate:
    """Lets everybody in, as the connection that they come by. What needs a key is open only if `is_admin_open`."""

    def __init__(self, is_admin_open: bool) -> None:
        self._is_admin_open = is_admin_open

    def caller(self, context: Asker, scope: str | None) -> Caller:
        """Who asks. Raises ForbiddenError."""
        if scope == ADMIN and not self._is_admin_open:
            raise ForbiddenError("this RPC needs an API key of scope admin; the server has no keys (--api-keys)")
        return Caller(context.peer())


class KeyGate:
    """Lets in whoever shows a key of the file, as `authorization: Bearer KEY` or `x-api-key: KEY`."""

    def __init__(self, path: Path, log: Logger) -> None:
        """Raises ConfigError for a file that cannot be used."""
        self._path = path
        self._log = log
        self._stamp = file_stamp(path)
        self._keys = read_keys(path)
        self._next_look = time.monotonic() + LOOK_SECONDS

    def caller(self, context: Asker, scope: str | None) -> Caller:
        """Who asks. Raises UnauthenticatedError or ForbiddenError."""
        secret = _secret(context)
        if secret is None:
            raise UnauthenticatedError(
                "an API key is needed, as metadata `authorization: Bearer KEY` or `x-api-key: KEY`"
            )
        key = self._current().find(secret)
        if key is None:
            raise UnauthenticatedError("the API key is not known, or no more")
        if scope is not None and scope not in key.scopes:
            raise ForbiddenError(f"key {key.name} has not the scope {scope}, which this RPC needs")
        return Caller(key.name, key)

    def _current(self) -> ApiKeys:
        """The keys as the file has them now; as it last had them where it cannot be used."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            stamp = file_stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._keys = read_keys(self._path)
                    self._log.info("api_keys_read", keys=len(self._keys))
                except ConfigError as error:
                    self._log.error("api_keys_not_read", why=str(error), kept=len(self._keys))
        return self._keys


def _secret(context: Asker) -> str | None:
    for key, value in context.invocation_metadata() or ():
        text = value if isinstance(value, str) else ""
        if key == "x-api-key":
            return text
        if key == "authorization" and text[: len(_BEARER)].lower() == _BEARER:
            return text[len(_BEARER) :].strip()
    return None
