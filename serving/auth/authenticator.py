"""Identifies the caller of a request, or refuses it: authenticators with and without a file of API keys."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from serving.auth.api_keys import ADMIN, ApiKeys, Caller, read_keys
from serving.auth.followed_files import FollowedFiles
from serving.errors import ForbiddenError, UnauthenticatedError
from serving.logging import Logger

REREAD_SECONDS = 1.0  # between two looks at the file: a key that was removed may be accepted for so long
_BEARER = "bearer "


class RequestContext(Protocol):
    """Origin of a request: the context of a gRPC call, or its counterpart for HTTP."""

    def peer(self) -> str:
        """Returns the connection's address."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Returns the request's metadata as pairs of a lower-case name and a value."""

    def peer_certificate(self) -> bytes | None:
        """Returns the certificate that the client has shown in TLS, in PEM; None where it has shown none."""


class Authenticator(Protocol):
    """Identifies callers and checks their scopes."""

    def authenticate(self, context: RequestContext, scope: str | None) -> Caller:
        """Returns the caller of an RPC that requires `scope`; None: any key will do.

        Raises UnauthenticatedError or ForbiddenError.
        """


class OpenAuthenticator:
    """Accepts every request; its connection is the caller. Accepts admin RPCs only with `is_admin_open`."""

    def __init__(self, is_admin_open: bool) -> None:
        self._is_admin_open = is_admin_open

    def authenticate(self, context: RequestContext, scope: str | None) -> Caller:
        """Returns the caller, without a key. Raises ForbiddenError for admin RPCs that are not open."""
        if scope == ADMIN and not self._is_admin_open:
            raise ForbiddenError("this RPC needs an API key of scope admin; the server has no keys (--api-keys)")
        return Caller(context.peer())


def followed_keys(
    path: Path, log: Logger, last_good: ApiKeys | None = None, clock: Callable[[], float] = time.monotonic
) -> FollowedFiles[ApiKeys]:
    """Follows a file of API keys. Raises ConfigError for one that cannot be used, unless there are `last_good` keys."""

    def describe(keys: ApiKeys) -> dict[str, object]:
        return {"keys": len(keys)}

    return FollowedFiles("api_keys", [path], lambda: read_keys(path), log, last_good, describe, clock)


class ApiKeyAuthenticator:
    """Accepts requests with a key of the file, sent as `authorization: Bearer KEY` or `x-api-key: KEY`."""

    def __init__(self, keys: FollowedFiles[ApiKeys], clock: Callable[[], float] = time.monotonic) -> None:
        self._file = keys
        self._clock = clock
        self._keys = keys.current()
        self._next_look = clock() + REREAD_SECONDS

    def authenticate(self, context: RequestContext, scope: str | None) -> Caller:
        """Returns the caller with its key. Raises UnauthenticatedError, or ForbiddenError without the scope."""
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
        # On the event loop, and not on a thread of its own: one stat a second, and a small file now and then.
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + REREAD_SECONDS
            self._keys = self._file.current()
        return self._keys


def _secret(context: RequestContext) -> str | None:
    """Returns the key that the request carries, or None."""
    for key, value in context.invocation_metadata() or ():
        text = value if isinstance(value, str) else ""
        if key == "x-api-key":
            return text
        if key == "authorization" and text[: len(_BEARER)].lower() == _BEARER:
            return text[len(_BEARER) :].strip()
    return None
