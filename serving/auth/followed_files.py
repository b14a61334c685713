"""Files that people replace while the server runs. The last content that could be used stays in use.

Their owner must learn that it is an old one, so the log says so at once, and again every minute.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from serving.errors import ConfigError
from serving.files import file_stamp
from serving.logging import Logger

WARN_SECONDS = 60.0  # between two warnings of files that cannot be used
Content = TypeVar("Content")


class FollowedFiles(Generic[Content]):
    """Content of one or more files that belong together, read again when they have changed."""

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        read: Callable[[], Content],
        log: Logger,
        last_good: Content | None = None,
        describe: Callable[[Content], Mapping[str, object]] = lambda _: {},
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the files. `name`: the start of the events in the log. `read`: raises ConfigError for what cannot be
        used. `last_good`: content to begin with where they cannot be used now. `describe`: content, for the log.

        Raises ConfigError when the files cannot be used and there is no `last_good`.
        """
        self._name = name
        self._paths = paths
        self._read = read
        self._log = log
        self._describe = describe
        self._clock = clock
        self._stamps = self._look()  # before reading: a change in between is noticed at the next look
        self._warn_at = float("inf")  # infinity while the content is that of the files
        try:
            self._content = read()
        except ConfigError as error:
            if last_good is None:
                raise
            self._content = last_good
            self._note_unusable(error)

    def current(self) -> Content:
        """Returns the content, read again where the files have changed; the last good one where they cannot be used.

        Files that cannot be used are tried again at each warning: what was wrong need not have been in them.
        """
        stamps = self._look()
        if stamps != self._stamps or self._clock() >= self._warn_at:
            self._stamps = stamps
            self._read_again()
        return self._content

    def _read_again(self) -> None:
        try:
            self._content = self._read()
        except ConfigError as error:
            self._note_unusable(error)
        else:
            self._warn_at = float("inf")
            self._log.info(f"{self._name}_read", **self._describe(self._content))

    def _note_unusable(self, error: ConfigError) -> None:
        self._warn_at = self._clock() + WARN_SECONDS
        self._log.error(f"{self._name}_not_read", why=str(error), **self._describe(self._content))

    def _look(self) -> list[object]:
        return [file_stamp(path) for path in self._paths]
