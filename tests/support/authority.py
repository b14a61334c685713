"""Certificate authorities of tests, whose certificates and keys are files."""

import datetime
from pathlib import Path

import grpc
import trustme

Settings = dict[str, Path]


class Authority:
    """A certificate authority with its files below `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(self, host: str, expires: datetime.datetime | None = None) -> Settings:
        """Writes a certificate and key for `host`, over those that are there."""
        issued = self._authority.issue_cert(host, not_after=expires)
        self.certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(self.key))
        return {"tls_certificate": self.certificate, "tls_key": self.key}

    def trusting(self, client: Settings | None = None) -> grpc.ChannelCredentials:
        """What a client uses that trusts this authority, with a certificate of its own where there is one."""
        root = self.file.read_bytes()
        if client is None:
            return grpc.ssl_channel_credentials(root)
        return grpc.ssl_channel_credentials(
            root, client["tls_key"].read_bytes(), client["tls_certificate"].read_bytes()
        )
