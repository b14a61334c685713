"""Which versions of a model are served, out of those that there are. Pure: knows no disk and no model."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

ALL = 2**31  # more versions than there will be


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """The `latest` highest that are good; or, where there are any, the `versions` named and no other."""

    latest: int = 1
    versions: tuple[int, ...] = ()

    def wanted(self, there: Sequence[int], bad: Collection[int]) -> list[int]:
        """Of the versions `there`, those to serve, ascending. `bad` ones are passed over: older ones stand in."""
        good = [version for version in sorted(there) if version not in bad]
        if self.versions:
            return [version for version in good if version in self.versions]
        return good[-self.latest :]

    def __str__(self) -> str:
        if self.versions:
            return ",".join(map(str, self.versions))
        return "all" if self.latest == ALL else "latest" if self.latest == 1 else f"latest:{self.latest}"


LATEST = VersionPolicy()


def parse_policy(text: str) -> VersionPolicy | None:
    """`latest`, `latest:N`, `all`, or version numbers with commas; `auto` or 0: None, as the repository says.

    Raises ValueError for anything else.
    """
    if text in ("auto", "0"):
        return None
    if text == "all":
        return VersionPolicy(latest=ALL)
    if found := re.fullmatch(r"latest(?::([1-9]\d{0,8}))?", text):
        return VersionPolicy(latest=int(found[1] or 1))
    if re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", text):
        return VersionPolicy(versions=tuple(sorted({int(version) for version in text.split(",")})))
    raise ValueError("expected auto, latest, latest:N, all, or version numbers such as 3 or 2,3")
