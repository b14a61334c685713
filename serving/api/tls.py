"""Server-side TLS for gRPC: certificate, key and client authorities from PEM files, reloaded when the files change.

gRPC calls back at each new connection. So a rotated certificate is served from the next connection on, without a timer
and without a restart. Connections that are open keep theirs. Files that cannot be used leave the last good ones in use.
"""

import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from serving.auth.followed_files import FollowedFiles
from serving.errors import ConfigError
from serving.files import why_unreadable
from serving.logging import Logger

if TYPE_CHECKING:  # a supervisor follows the files, and loads no gRPC
    import grpc


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. With `client_ca`, only clients with a certificate by one of its authorities are accepted."""

    certificate: Path
    key: Path
    client_ca: Path | None

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [self.certificate, self.key, *([self.client_ca] if self.client_ca else [])]


@dataclass(frozen=True, slots=True)
class TlsContents:
    """What the files hold, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


def followed_tls(files: TlsFiles, log: Logger, last_good: TlsContents | None = None) -> FollowedFiles[TlsContents]:
    """Follows the files. Raises ConfigError for such as cannot be used, unless there are `last_good` contents."""
    return FollowedFiles("tls_files", files.paths, lambda: read_tls(files), log, last_good)


def read_tls(files: TlsFiles) -> TlsContents:
    """Reads the files and checks them. Raises ConfigError.

    Python's ssl checks them: gRPC would accept a key that does not fit, and fail every handshake in silence.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # for its checks alone: it serves nothing
        # An encrypted key fails; without a password OpenSSL would prompt.
        context.load_cert_chain(files.certificate, files.key, password="")
        if files.client_ca:
            context.load_verify_locations(files.client_ca)
        return TlsContents(
            files.certificate.read_bytes(),
            files.key.read_bytes(),
            files.client_ca.read_bytes() if files.client_ca else None,
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = " and ".join(str(path) for path in files.paths)
        raise ConfigError(f"tls: {named} cannot be used: {why_unreadable(error, files.paths)}") from error


class TlsCredentials:
    """Makes gRPC server credentials that follow the files."""

    def __init__(self, files: FollowedFiles[TlsContents]) -> None:
        self._files = files
        self._reading = threading.Lock()  # gRPC calls back from threads of its own, several at a time

    def for_listener(self) -> "grpc.ServerCredentials":
        """Returns credentials for one listener, which follow the files from now on.

        Each listener needs its own: gRPC keeps the configuration last given to it, and None means that one is current.
        """
        import grpc

        with self._reading:
            given = self._files.current()

        def configuration() -> grpc.ServerCertificateConfiguration:
            return grpc.ssl_server_certificate_configuration([(given.key, given.certificate)], given.client_ca)

        def changed_configuration() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given  # of this listener; all share the files and their last good contents
            with self._reading:
                current = self._files.current()
                if current is given:
                    return None
                given = current
                return configuration()

        return grpc.dynamic_ssl_server_credentials(
            configuration(),
            changed_configuration,  # type: ignore[arg-type]  # grpc takes None for "no change", as its documentation says
            require_client_authentication=given.client_ca is not None,
        )
