"""Who may ask: API keys by name, scope and rate, kept as hashes in a file. Knows no transport.

A key is 256 random bits, so one SHA-256 of it is enough: there is nothing to guess that a slow hash would protect. The
file is TOML, one table a key:

    [keys.forms-department]
    sha256 = "9f86d081..."            # of the key, 64 hexadecimal digits
    scopes = ["classify"]             # classify, admin, or both
    images_per_second = 500           # 0, or left away: as many as the server can
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

CLASSIFY, ADMIN = "classify", "admin"
SCOPES = frozenset({CLASSIFY, ADMIN})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS = {"sha256", "scopes", "images_per_second"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What the holder of a key may do."""

    name: str
    sha256: bytes
    scopes: frozenset[str]
    images_per_second: float  # 0: no limit
    index: int  # its place in the file


class Caller(NamedTuple):
    """Who asks: a name, among which the server's room is divided, and the key that was shown, if any."""

    name: str
    key: ApiKey | None = None


def new_secret() -> str:
    """A key as its holder sends it."""
    return f"mnist_{secrets.token_urlsafe(32)}"


def hashed(secret: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class ApiKeys:
    """The keys of one file, as it was when read."""

    def __init__(self, keys: Mapping[str, ApiKey]) -> None:
        self._keys = list(keys.values())

    @property
    def names(self) -> list[str]:
        """Of all keys."""
        return [key.name for key in self._keys]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> ApiKey | None:
        """The key with this secret. Takes as long for any: each hash is compared, and each whole."""
        given, found = hashed(secret), None
        for key in self._keys:
            if hmac.compare_digest(given, key.sha256):
                found = key
        return found


def read_keys(path: Path) -> ApiKeys:
    """The keys in a file. Raises ConfigError saying what is wrong with it, and which key."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"api_keys {path}: cannot be read: {error}") from error
    tables = content.get("keys", {})  # none: whoever takes the last key out wants to let nobody in
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
    """What a file says of a new key. Raises ValueError for a name, scope or rate that cannot be."""
    fields = {"sha256": hashed(secret).hex(), "scopes": scopes, "images_per_second": images_per_second}
    _key(name, fields, 0)
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
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < float("inf"):
        raise ValueError(f"key {name}: images_per_second is not 0 or more")
    return ApiKey(name, bytes.fromhex(sha256), frozenset(scopes), float(rate), index)
