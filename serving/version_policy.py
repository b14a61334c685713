"""Version policy: selects the model versions to serve from those available. Pure: reads no disk, knows no model."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

ALL = 2**31  # as `latest`: more versions than there will be
LARGEST_VERSION = 2**63 - 1  # that the protocols' int64 holds


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Selection of the `latest` highest good versions, or, unless empty, of exactly the `versions` named."""

    latest: int = 1
    versions: tuple[int, ...] = ()

    def wanted(self, available: Sequence[int], bad: Collection[int]) -> list[int]:
        """Returns the versions to serve out of those `available`, ascending.

        `bad` versions failed a check and are skipped; with `latest`, older versions take their place.
        """
        good = [version for version in self.candidates(available) if version not in bad]
        return good[: self.most][::-1]

    def candidates(self, available: Sequence[int]) -> list[int]:
        """Returns the versions out of those `available` of which the first `most` good ones are served, descending."""
        named = set(self.versions)
        return sorted((version for version in available if not named or version in named), reverse=True)

    @property
    def most(self) -> int:
        """Most versions to serve."""
        return ALL if self.versions else self.latest

    def __str__(self) -> str:  # the inverse of parse_policy()
        if self.versions:
            return ",".join(map(str, self.versions))
        return "all" if self.latest == ALL else "latest" if self.latest == 1 else f"latest:{self.latest}"


LATEST = VersionPolicy()


@dataclass(frozen=True, slots=True)
class Candidate:
    """Version that is tried on a share of the traffic, above 0 and at most 1, and not served unless a policy names it.

    With share 0 it is not tried, and still not served.
    """

    version: int
    share: float

    def __str__(self) -> str:  # the inverse of parse_candidate()
        return f"{self.version}:{100 * self.share:g}%"


def parse_candidate(text: str) -> Candidate | None:
    """Parses `VERSION:SHARE`, such as 4:10% or 4:0.1; None for an empty text. Raises ValueError."""
    if not text:
        return None
    found = re.fullmatch(r"([1-9]\d{0,18}):(\d{1,3}(?:\.\d{1,6})?)(%?)", text)
    if found and int(found[1]) <= LARGEST_VERSION:
        share = float(found[2]) / (100 if found[3] else 1)
        if 0 < share <= 1:
            return Candidate(int(found[1]), share)
    raise ValueError("expected VERSION:SHARE with a share above 0 and at most 100%, such as 4:10%")


def parse_policy(text: str) -> VersionPolicy | None:
    """Parses `latest`, `latest:N`, `all`, or version numbers separated by commas.

    Returns None for `auto` or 0: the repository's config.pbtxt decides. Raises ValueError for anything else.
    """
    if text in ("auto", "0"):
        return None
    if text == "all":
        return VersionPolicy(latest=ALL)
    if found := re.fullmatch(r"latest(?::([1-9]\d{0,8}))?", text):
        return VersionPolicy(latest=int(found[1] or 1))
    if re.fullmatch(r"[1-9]\d{0,18}(,[1-9]\d{0,18})*", text):
        versions = sorted({int(version) for version in text.split(",")})
        if versions[-1] <= LARGEST_VERSION:
            return VersionPolicy(versions=tuple(versions))
    raise ValueError("expected auto, latest, latest:N, all, or version numbers such as 3 or 2,3")


@dataclass(frozen=True, slots=True)
class CanaryBounds:
    """How much worse than the served version a canary may be, beyond chance, before it returns."""

    failures: float = 0.01  # share of inferences that raise
    refusals: float = 0.05  # share of images that the model refuses
    slowdown: float = 2.0  # times as long; 0: any
    calls: int = 200  # inferences of each version below which nothing is decided

    def __str__(self) -> str:  # the inverse of parse_bounds()
        shares = f"failures={100 * self.failures:g}%,refusals={100 * self.refusals:g}%"
        return f"{shares},slowdown={self.slowdown:g},calls={self.calls}"


def parse_bounds(text: str) -> CanaryBounds:
    """Parses `failures=1%,refusals=5%,slowdown=2,calls=200`, or some of these. Raises ValueError."""
    values: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"(failures|refusals|slowdown|calls)=(\d{1,9}(?:\.\d{1,6})?)(%?)", part)
        if not found or found[1] in values:
            break
        name, value, is_percentage = found[1], float(found[2]), bool(found[3])
        is_share = name in ("failures", "refusals")
        value = value / 100 if is_percentage else value
        if (is_share and value > 1) or (is_percentage and not is_share) or (name == "calls" and not _is_count(value)):
            break
        values[name] = value
    else:
        return CanaryBounds(**values | ({"calls": int(values["calls"])} if "calls" in values else {}))  # type: ignore[arg-type]  # calls is whole
    raise ValueError("expected some of failures=1%,refusals=5%,slowdown=2,calls=200")


def _is_count(value: float) -> bool:
    return value >= 1 and value == int(value)
