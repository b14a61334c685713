"""API keys with name, scopes and rate limit, stored as hashes in a TOML file. Knows no transport.

A key is 256 random bits, so one SHA-256 of it is enough: a slow hash protects keys that can be guessed (decision 0032).
The file has one table for each key:

    [keys.forms-department]
    sha256 = "9f86d081..."            # of the key, 64 hexadecimal digits
    scopes = ["classify"]             # classify, admin, or both
    images_per_second = 500           # 0, or left out: no limit
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from serving.errors import ConfigError
from serving.files import why_unreadable
from serving.traces.request_trace import RequestTrace

CLASSIFY, ADMIN = "classify", "admin"
SCOPES = frozenset({CLASSIFY, ADMIN})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS = {"sha256", "scopes", "images_per_second"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """API key: its name, its hash and what its holder may do."""

    name: str
    sha256: bytes
    scopes: frozenset[str]
    images_per_second: float  # 0: no limit
    index: int  # position in the file, from 0


class Caller(NamedTuple):
    """Caller of a request: a name, by which admission divides the server's room, and the API key, if it has one.

    `request_id`: of the request, where feedback may be given on it; otherwise empty. `trace`: of a sampled request.
    """

    name: str
    key: ApiKey | None = None
    request_id: str = ""
    trace: RequestTrace | None = None

    def of(self, request_id: str) -> "Caller":
        """Returns this caller with the id of its request, in a third of the time of _replace()."""
        return Caller(self.name, self.key, request_id, self.trace)

    def traced(self, trace: RequestTrace) -> "Caller":
        """Returns this caller with the trace of its request, whose stages the use cases note."""
        return Caller(self.name, self.key, self.request_id, trace)

    @property
    def owner(self) -> str:
        """Name of the key, whose requests only the same key can give feedback on; empty without keys."""
        return self.key.name if self.key else ""


NOBODY = Caller("")  # who has not been identified


def new_secret() -> str:
    """Returns a new random key, as its holder sends it."""
    return f"mnist_{secrets.token_urlsafe(32)}"


def hashed(secret: str) -> bytes:
    """Returns the SHA-256 of a key, 32 bytes: all that is stored of it."""
    return hashlib.sha256(
        secret.encode("utf-8", "surrogateescape")
    ).digest()  # headers may hold bytes that are not UTF-8


class ApiKeys:
    """Keys of a file, as read at one time."""

    def __init__(self, keys: Mapping[str, ApiKey]) -> None:
        self._keys = list(keys.values())

    @property
    def names(self) -> list[str]:
        """Names of all keys, in the file's order."""
        return [key.name for key in self._keys]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> ApiKey | None:
        """Returns the key with this secret, or None, in a time that reveals nothing about the stored hashes."""
        given, found = hashed(secret), None
        # No early exit, and compare_digest instead of ==: the time must depend neither on which key matches nor on how
        # many bytes do.
        for key in self._keys:
            if hmac.compare_digest(given, key.sha256):
                found = key
        return found


def read_keys(path: Path) -> ApiKeys:
    """Reads the keys of a file. Raises ConfigError, which names the fault and the key."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"api_keys {path}: cannot be read: {why_unreadable(error, [path])}") from error
    tables = content.get("keys", {})  # a file without keys is valid: it admits nobody
    if not set(content) <= {"keys"} or not isinstance(tables, dict):
        raise ConfigError(f"api_keys {path}: expected [keys.NAME] tables and nothing else")
    try:
        keys = {name: _key(name, table, index) for index, (name, table) in enumerate(tables.items())}
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"api_keys {path}: {error}") from error
    if len({key.sha256 for key in keys.values()}) < len(keys):
        raise ConfigError(f"api_keys {path}: two names have the same key")
    return ApiKeys(keys)


def table(name: str, secret: str, scopes: list[str], images_per_second: float) -> str:
    """Returns the TOML table of a new key. Raises ValueError for an invalid name, scope or rate."""
    fields = {"sha256": hashed(secret).hex(), "scopes": scopes, "images_per_second": images_per_second}
    _key(name, fields, 0)  # for its checks; it also keeps quotes and brackets out of the table below
    listed = ", ".join(f'"{scope}"' for scope in scopes)
    return (
        f'[keys.{name}]\nsha256 = "{fields["sha256"]}"\nscopes = [{listed}]\n'
        f"images_per_second = {images_per_second:g}\n"
    )


def _key(name: str, fields: object, index: int) -> ApiKey:
    if not _NAME.fullmatch(name):
        raise ValueError(f"key {name!r}: a name is 1 to 64 letters, digits, - and _")
    if not isinstance(fields, dict) or not set(fields) <= _FIELDS:
        raise ValueError(f"key {name}: expected {', '.join(sorted(_FIELDS))} and nothing else")
    sha256, scopes = fields.get("sha256"), fields.get("scopes", [CLASSIFY])
    rate = fields.get("images_per_second", 0)
    if not (isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256)):
        raise ValueError(f"key {name}: sha256 is not 64 lower-case hexadecimal digits")
    if not (isinstance(scopes, list) and scopes and all(scope in SCOPES for scope in scopes)):
        raise ValueError(f"key {name}: scopes are one or more of {', '.join(sorted(SCOPES))}")
    # bool is a subclass of int, and TOML has inf and nan: the comparison is False for nan.
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < float("inf"):
        raise ValueError(f"key {name}: images_per_second is not 0 or more")
    return ApiKey(name, bytes.fromhex(sha256), frozenset(scopes), float(rate), index)
