"""Rows of the table of compatibility, and the document that holds it."""

import datetime
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.conformance.clients import Client

HEAD = """\
# Compatibility

Clients and proxies as their registries have them, each in an environment of its own, against a server with the
committed models. `make conformance` tries them again and writes this page (`python -m tests.conformance` does that
alone). `tests/conformance/programs/` holds what each client does: its calls must return the right digits or, where they
name an error, that error. `deploy/proxies/` holds the configurations of the proxies
([operations](operations.md#behind-a-proxy)); the second of two versions is the proxy's.

- *works*: every one of these calls.
- *fails*: with the message that the client shows. Where the server has a reason, the row names it; any other failure
  ends the program with status 1.
- *absent*: the machine could not have the client, for the reason given. Whether it works is unknown.

"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `is_failure`: it should work and does not."""

    client: str
    version: str
    transport: str
    call: str
    result: str
    is_failure: bool = False

    @classmethod
    def absent(cls, client: Client, reason: str) -> "Row":
        """A client that the machine cannot have."""
        return cls(client.name, "", client.transport, "all", f"absent: {reason}")

    @classmethod
    def failed(cls, client: Client, reason: str) -> "Row":
        """A client of which no call could be tried."""
        return cls(client.name, "", client.transport, "all", f"fails: {reason}", is_failure=True)


def rows_of(client: Client, version: str, outcomes: Mapping[str, str]) -> list[Row]:
    """One row for the calls that work together, one for each that fails."""
    works = [call for call, outcome in outcomes.items() if outcome == "ok" and call not in client.limits]
    rows = [Row(client.name, version, client.transport, "; ".join(works), "works")] if works else []
    for call, outcome in outcomes.items():
        if outcome == "ok" and call not in client.limits:
            continue
        limit = client.limits.get(call)
        if outcome == "ok":  # then the limit is not true any more
            outcome = "works, and was not expected to"
        result = f"fails, as expected since {limit}: {outcome}" if limit else f"fails: {outcome}"
        is_failure = not limit or outcome.startswith("works")
        rows.append(Row(client.name, version, client.transport, call or "all", result, is_failure))
    return rows


def document(rows: Sequence[Row]) -> str:
    """Text of docs/compatibility.md."""
    day = datetime.datetime.now(tz=datetime.UTC).date()
    machine = f"{day:%-d %B %Y}, Python {platform.python_version()}, {platform.machine()}."
    lines = [" | ".join(map(_cell, (row.client, row.version, row.transport, row.call, row.result))) for row in rows]
    table = [
        "| client | version | transport | call | result |",
        "|---|---|---|---|---|",
        *(f"| {line} |" for line in lines),
    ]
    return HEAD + machine + "\n\n" + "\n".join(table) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
