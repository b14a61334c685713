"""Authenticators: name the caller of a request, or refuse it. The file of API keys is read again when it changes."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from serving.auth.api_keys import ADMIN, ApiKeys, Caller, read_keys
from serving.errors import ConfigError, ForbiddenError, UnauthenticatedError
from serving.files import file_stamp
from serving.logging import Logger

REREAD_SECONDS = 1.0  # how long a key that is taken from the file may still be good
_BEARER = "bearer "


class RequestContext(Protocol):
    """The origin of a request: a gRPC call's context, or a request that came by HTTP."""

    def peer(self) -> str:
        """Returns the connection's address."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Returns the request's metadata, lower-case names first."""


class Authenticator(Protocol):
    """Decides who may call what."""

    def authenticate(self, context: RequestContext, scope: str | None) -> Caller:
        """Returns the caller of an RPC that needs a key of this scope; None: of any. Raises a DigitServiceError."""


class OpenAuthenticator:
    """Accepts every request; its connection is the caller. Admin RPCs are open only if `is_admin_open`."""

    def __init__(self, is_admin_open: bool) -> None:
        self._is_admin_open = is_admin_open

    def authenticate(self, context: RequestContext, scope: str | None) -> Caller:
        """Returns the caller. Raises ForbiddenError."""
        if scope == ADMIN and not self._is_admin_open:
            raise ForbiddenError("this RPC needs an API key of scope admin; the server has no keys (--api-keys)")
        return Caller(context.peer())


class ApiKeyAuthenticator:
    """Accepts requests with a key of the file, as `authorization: Bearer KEY` or `x-api-key: KEY`."""

    def __init__(self, path: Path, log: Logger) -> None:
        """Reads the file. Raises ConfigError for a file that cannot be used."""
        self._path = path
        self._log = log
        self._stamp = file_stamp(path)
        self._keys = read_keys(path)
        self._next_look = time.monotonic() + REREAD_SECONDS

    def authenticate(self, context: RequestContext, scope: str | None) -> Caller:
        """Returns the caller. Raises UnauthenticatedError or ForbiddenError."""
        secret = _secret(context)
        if secret is None:
            raise UnauthenticatedError(
                "an API key is needed, as metadata `authorization: Bearer KEY` or `x-api-key: KEY`"
            )
        key = self._current_keys().find(secret)
        if key is None:
            raise UnauthenticatedError("the API key is not known, or no more")
        if scope is not None and scope not in key.scopes:
            raise ForbiddenError(f"key {key.name} has not the scope {scope}, which this RPC needs")
        return Caller(key.name, key)

    def _current_keys(self) -> ApiKeys:
        """Returns the keys of the file as it is now, or as it last was where it cannot be used."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + REREAD_SECONDS
            stamp = file_stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._keys = read_keys(self._path)
                    self._log.info("api_keys_read", keys=len(self._keys))
                except ConfigError as error:
                    self._log.error("api_keys_not_read", why=str(error), kept=len(self._keys))
        return self._keys


def _secret(context: RequestContext) -> str | None:
    for key, value in context.invocation_metadata() or ():
        text = value if isinstance(value, str) else ""
        if key == "x-api-key":
            return text
        if key == "authorization" and text[: len(_BEARER)].lower() == _BEARER:
            return text[len(_BEARER) :].strip()
    return None
