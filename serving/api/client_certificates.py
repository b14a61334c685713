"""Certificates of clients, where TLS asks for them: refuses calls once the client's own has expired.

gRPC verifies a certificate in a full handshake, and not again: neither while the connection lasts, nor when the client
resumes a TLS session, which it can do over and over. It has no setting against resumption, so each call is checked.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

import grpc

from serving.api.engine.call import Call, Method
from serving.auth.api_keys import Caller
from serving.auth.authenticator import Authenticator, RequestContext
from serving.errors import UnauthenticatedError

MOST_CERTIFICATES = 1024  # whose time of expiry is kept
_VERSION, _UTC_TIME = 0xA0, 0x17  # tags of ASN.1


class CertificateAuthenticator:
    """Refuses callers whose certificate has expired, and leaves the others to another authenticator."""

    def __init__(self, authenticator: Authenticator, clock: Callable[[], float] = time.time) -> None:
        """`clock`: wall time, as that of certificates."""
        self._authenticator = authenticator
        self._clock = clock

    def authenticate(self, context: RequestContext, scope: str | None) -> Caller:
        """Returns the caller. Raises UnauthenticatedError, or what the other authenticator raises."""
        self.check(context)
        return self._authenticator.authenticate(context, scope)

    def check(self, context: RequestContext) -> None:
        """Raises UnauthenticatedError unless the caller has shown a certificate that has not expired."""
        certificate = context.peer_certificate()
        if certificate is None:
            raise UnauthenticatedError("a client certificate is needed")
        if self._clock() > expiry(certificate):
            raise UnauthenticatedError("the client certificate has expired: connect again with a new one")

    def guard(self, method: Method) -> Method:
        """Returns a method that needs no key, with this check before it."""

        def arrive(call: Call) -> None:
            method.arrive(call)
            try:
                self.check(call)
            except UnauthenticatedError as error:
                call.finish(grpc.StatusCode.UNAUTHENTICATED, str(error))

        return replace(method, arrive=arrive)


@lru_cache(MOST_CERTIFICATES)
def expiry(certificate: bytes) -> float:
    """Returns the end of a certificate's validity in seconds since the epoch. `certificate`: PEM, verified before.

    Read here, since Python's ssl gives this time only of certificates that it has verified itself, and the server needs
    no library of certificates for anything else.
    """
    [(_, signed)] = _elements(ssl.PEM_cert_to_DER_cert(certificate.decode()))
    fields = _elements(_elements(signed)[0][1])
    if fields[0][0] == _VERSION:  # left out in version 1
        del fields[0]
    _, _, _, (_, validity), *_ = fields  # after serial number, signature algorithm and issuer
    _, (tag, until) = _elements(validity)
    text = until.decode()
    if tag == _UTC_TIME:  # with two digits of the year, 1950 to 2049
        text = ("20" if text < "5" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Splits DER (ITU-T X.690) into its elements: tag and content of each."""
    found = []
    while der:
        tag, length, start = der[0], der[1], 2
        if length & 0x80:  # the number of bytes that hold the length
            start += length & 0x7F
            length = int.from_bytes(der[2:start], "big")
        found.append((tag, der[start : start + length]))
        der = der[start + length :]
    return found
