"""What browsers may send here: requests to a name of this server, and calls from its own pages.

1. A server on a loopback address answers loopback names alone. A page of evil.example could otherwise have its own name
   point to 127.0.0.1 (DNS rebinding) and read the responses as its own; its requests have that name as their Host.
2. A page of another origin may make a browser send a request, though not read the response. So what may cost or change
   something, any method but GET, HEAD and OPTIONS, is refused to such pages, unless a setting names their origin. The
   rules are those of Go's http.CrossOriginProtection.
3. Programs that are no browsers send neither Origin nor Sec-Fetch-Site, and no browser leaves out both.
"""

from collections.abc import Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api.http.application import refusal
from serving.setting_values import ANY, is_loopback

_SAFE = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = (b"same-origin", b"none")  # none: the address bar, a bookmark


class BrowserGuard:
    """Passes on to an application what browsers may send, and all that others send."""

    def __init__(self, application: ASGIApp, host: str, names: Sequence[str], origins: Sequence[str]) -> None:
        """`host`: on which the server listens. `names`: answered as loopback names are. `origins`: of other pages that
        may call. Each may be `*`.
        """
        self._application = application
        self._answers_any_name = not is_loopback(host) or ANY in names
        self._names = frozenset(names)
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_name = lru_cache(maxsize=256)(self._look_up)  # one client sends the same each time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        host = origin = site = b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if not (self._answers_any_name or self._is_name(host)):
            shown = ascii(host.decode("latin-1")[:100])
            message = f"this server listens on a loopback address and does not answer as {shown}: see --http-hosts"
            await refusal(421, "PERMISSION_DENIED", message)(scope, receive, send)
        elif (origin or site) and scope["method"] not in _SAFE and not self._may_call(host, origin, site):
            shown = ascii(origin.decode("latin-1")[:100])
            message = f"pages of the origin {shown} may not call this server: see --cors-origin"
            await refusal(403, "PERMISSION_DENIED", message)(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _look_up(self, host: bytes) -> bool:
        """Returns True for a Host that names this server; HTTP/1.0 has none."""
        text = host.decode("latin-1").lower()
        name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
        name = name.removesuffix(".")
        return not host or name.endswith(".localhost") or name in self._names or is_loopback(name)

    def _may_call(self, host: bytes, origin: bytes, site: bytes) -> bool:
        if site in _OWN_SITES or origin in self._origins or ANY.encode() in self._origins:
            return True
        return bool(origin) and not site and origin.partition(b"://")[2].lower() == host.lower()
