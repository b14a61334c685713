"""Server-side TLS for gRPC: certificate, key and client authorities from PEM files, reloaded when the files change.

gRPC calls back at each new connection. So a rotated certificate is served from the next connection on, without a timer
and without a restart. Connections that are open keep theirs. Files that cannot be used leave the last good ones in use.
"""

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from serving.errors import ConfigError
from serving.files import FileStamp, file_stamp
from serving.logging import Logger


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. With `client_ca`, only clients with a certificate by one of its authorities are accepted."""

    certificate: Path
    key: Path
    client_ca: Path | None


class TlsCredentials:
    """Makes gRPC server credentials that follow the files."""

    def __init__(self, files: TlsFiles, log: Logger) -> None:
        """Reads the files. Raises ConfigError when they cannot be used."""
        self._files = files
        self._log = log
        self._stamps = self._look()  # before reading: a change in between is noticed at the next connection
        self._current = self._read()
        self._reading = threading.Lock()  # gRPC calls back from threads of its own, several at a time

    def for_listener(self) -> grpc.ServerCredentials:
        """Returns credentials for one listener, which follow the files from now on.

        Each listener needs its own: gRPC keeps the configuration last given to it, and None means that one is current.
        """
        given = self._current

        def changed_configuration() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given  # of this listener; all share the files and their last good contents
            with self._reading:
                self._read_again()
                if given is self._current:
                    return None
                given = self._current
                return given

        return grpc.dynamic_ssl_server_credentials(
            given,
            changed_configuration,  # type: ignore[arg-type]  # grpc takes None for "no change", as its documentation says
            require_client_authentication=self._files.client_ca is not None,
        )

    def _read_again(self) -> None:
        """Takes over the contents of the files if they have changed and can be used."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps  # also when reading fails: the failure is logged once, not at every connection
        try:
            self._current = self._read()
        except ConfigError as error:  # such as a new certificate with the old key: the new key changes the files again
            self._log.error("tls_files_not_read", why=str(error))
        else:
            self._log.info("tls_files_read", certificate=str(self._files.certificate))

    def _paths(self) -> list[Path]:
        files = self._files
        return [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]

    def _look(self) -> list[FileStamp | None]:
        return [file_stamp(path) for path in self._paths()]

    def _read(self) -> grpc.ServerCertificateConfiguration:
        """Reads the files and checks them. Raises ConfigError.

        Python's ssl checks them: gRPC would accept a key that does not fit, and fail every handshake in silence.
        """
        certificate, key, client_ca = self._files.certificate, self._files.key, self._files.client_ca
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # for its checks alone: it serves nothing
            context.load_cert_chain(
                certificate, key, password=""
            )  # an encrypted key fails; without a password OpenSSL would prompt
            if client_ca:
                context.load_verify_locations(client_ca)
            chain, private_key = certificate.read_bytes(), key.read_bytes()
            authorities = client_ca.read_bytes() if client_ca else None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            named = " and ".join(str(path) for path in self._paths())
            raise ConfigError(f"tls: {named} cannot be used: {error}") from error
        return grpc.ssl_server_certificate_configuration([(private_key, chain)], authorities)
