"""The end of a certificate's validity, read from its bytes."""

import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from serving.api.client_certificates import CertificateAuthenticator, expiry
from serving.auth.authenticator import OpenAuthenticator
from serving.errors import UnauthenticatedError
from tests.support.recorded_call import RecordedCall

KEY = ec.generate_private_key(ec.SECP256R1())
SEQUENCE, INTEGER, UTC_TIME = 0x30, 0x02, 0x17
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def certificate(expires: datetime, names: list[str], serial: int = 1) -> bytes:
    """A certificate signed by itself, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, each) for each in names])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), serial, datetime(1950, 1, 1), expires)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31, 23, 59, 59)),
    st.lists(st.text("äbc", min_size=1, max_size=64), max_size=8),
    st.integers(1, 2**158),
)
def test_the_end_of_any_certificate_is_read(expires: datetime, names: list[str], serial: int) -> None:
    expires = expires.replace(microsecond=0)
    assert expiry(certificate(expires, names, serial)) == (expires.replace(tzinfo=UTC) - EPOCH).total_seconds()


def element(tag: int, content: bytes = b"") -> bytes:
    return bytes([tag, len(content)]) + content


def test_the_end_of_a_certificate_of_version_1_is_read() -> None:
    validity = element(UTC_TIME, b"200101000000Z") + element(UTC_TIME, b"300102030405Z")
    signed = element(INTEGER, b"\1") + element(SEQUENCE) + element(SEQUENCE) + element(SEQUENCE, validity)
    pem = ssl.DER_cert_to_PEM_cert(element(SEQUENCE, element(SEQUENCE, signed) + element(SEQUENCE)))
    assert expiry(pem.encode()) == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


class _Shown(RecordedCall):
    """A call whose client has shown a certificate."""

    __slots__ = ("certificate",)
    certificate: bytes | None

    def peer_certificate(self) -> bytes | None:
        return self.certificate


def test_a_certificate_is_good_to_its_last_second() -> None:
    call, now = _Shown(), [0.0]
    call.certificate = certificate(datetime(2030, 1, 1), ["a"])
    authenticator = CertificateAuthenticator(OpenAuthenticator(False), lambda: now[0])
    now[0] = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert authenticator.authenticate(call, None).name == "test:"
    now[0] += 1
    with pytest.raises(UnauthenticatedError, match="has expired"):
        authenticator.authenticate(call, None)
    call.certificate = None
    with pytest.raises(UnauthenticatedError, match="is needed"):
        authenticator.authenticate(call, None)
