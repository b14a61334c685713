"""The files that say whom a server trusts and who it is: API keys and TLS. They may change at any time.

A worker that starts while they cannot be used gets what the supervisor read last: so a mistake in a file does not keep
a worker that has died from being replaced.
"""

import asyncio
import stat
from contextlib import suppress
from dataclasses import dataclass

from serving.api.tls import TlsContents, TlsFiles, followed_tls
from serving.auth.api_keys import ApiKeys
from serving.auth.authenticator import REREAD_SECONDS, followed_keys
from serving.config import Config
from serving.logging import Logger


@dataclass(frozen=True, slots=True)
class LastGood:
    """Contents of the files when they could last be used; None: there are none, or none are known."""

    keys: ApiKeys | None = None
    tls: TlsContents | None = None


NOTHING_KNOWN = LastGood()
_CHANGED_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def warn_of_permissions(config: Config, log: Logger) -> None:
    """Warns of trusted files that others than their owner may change, and of a private key that all may read."""
    trusted = (config.api_keys, config.tls_certificate, config.tls_key, config.tls_client_ca, config.model_public_key)
    for path in filter(None, trusted):
        with suppress(OSError):  # reading it says so, too, and ends the start
            mode = path.stat().st_mode
            if mode & _CHANGED_BY_OTHERS:
                why = "others than its owner may change it, and with it who is trusted: chmod go-w"
            elif path == config.tls_key and mode & stat.S_IROTH:
                why = "everybody on this machine may read the private key: chmod o-r"
            else:
                continue
            log.warning("file_open_to_others", file=str(path), mode=f"{stat.S_IMODE(mode):04o}", why=why)


class TrustedFiles:
    """The files of a configuration, each None where it names none."""

    def __init__(self, config: Config, log: Logger, last_good: LastGood = NOTHING_KNOWN) -> None:
        """Reads the files. Raises ConfigError for such as cannot be used and have no last good content."""
        if last_good == NOTHING_KNOWN:  # otherwise the supervisor has warned
            warn_of_permissions(config, log)
        self.keys = followed_keys(config.api_keys, log, last_good.keys) if config.api_keys else None
        self.tls = None
        if config.tls_certificate and config.tls_key:
            files = TlsFiles(config.tls_certificate, config.tls_key, config.tls_client_ca)
            self.tls = followed_tls(files, log, last_good.tls)

    def current(self) -> LastGood:
        """Returns the contents, read again where the files have changed and can be used."""
        return LastGood(self.keys.current() if self.keys else None, self.tls.current() if self.tls else None)

    async def follow(self) -> None:
        """Looks at the files as often as workers do, for ever: what is not read while it is good is lost."""
        while True:
            await asyncio.sleep(REREAD_SECONDS)
            self.current()
