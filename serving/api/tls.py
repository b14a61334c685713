"""The server's side of TLS: certificate, key and authorities from files, read again when they change."""

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
    """PEM files. With `client_ca`, only clients with a certificate by one of those authorities are let in."""

    certificate: Path
    key: Path
    client_ca: Path | None


class TlsCredentials:
    """What listeners need, each its own. gRPC asks at each new connection whether there is something new."""

    def __init__(self, files: TlsFiles, log: Logger) -> None:
        """Raises ConfigError for files that cannot be used."""
        self._files = files
        self._log = log
        self._stamps = self._look()
        self._current = self._read()
        self._reading = threading.Lock()  # gRPC asks from threads of its own

    def for_listener(self) -> grpc.ServerCredentials:
        """For one listener, which follows the files from now on."""
        given = self._current

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            with self._reading:
                self._read_again()
                if given is self._current:
                    return None
                given = self._current
                return given

        return grpc.dynamic_ssl_server_credentials(
            given,
            newer,  # type: ignore[arg-type]  # grpc takes None for "no change", as its documentation says
            require_client_authentication=self._files.client_ca is not None,
        )

    def _read_again(self) -> None:
        """Takes what the files hold, if they changed and can be used."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._current = self._read()
        except ConfigError as error:  # half of a new pair, say: the other half changes the files again
            self._log.error("tls_files_not_read", why=str(error))
        else:
            self._log.info("tls_files_read", certificate=str(self._files.certificate))

    def _paths(self) -> list[Path]:
        files = self._files
        return [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]

    def _look(self) -> list[FileStamp | None]:
        return [file_stamp(path) for path in self._paths()]

    def _read(self) -> grpc.ServerCertificateConfiguration:
        """Checks by Python's own TLS first: gRPC's would say nothing and refuse every connection."""
        certificate, key, client_ca = self._files.certificate, self._files.key, self._files.client_ca
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key, password="")  # never ask on the terminal
            if client_ca:
                context.load_verify_locations(client_ca)
            chain, private = certificate.read_bytes(), key.read_bytes()
            authorities = client_ca.read_bytes() if client_ca else None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            named = " and ".join(str(path) for path in self._paths())
            raise ConfigError(f"tls: {named} cannot be used: {error}") from error
        return grpc.ssl_server_certificate_configuration([(private, chain)], authorities)
