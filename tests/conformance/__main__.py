"""`python -m tests.conformance`: runs other people's clients against our server and writes docs/compatibility.md.

Each client comes from its registry into an environment of its own, kept below --folder. What this machine cannot have
is absent, with the reason. Exit status 1: a client fails that should work. `--only curl nginx` runs those whose names
hold one of the words, and writes nothing.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from tests.conformance.clients import CLIENTS, Client
from tests.conformance.environments import (
    AbsentError,
    Environments,
    node_version,
    python_version,
    without_addresses,
)
from tests.conformance.report import Row, document, rows_of
from tests.conformance.running import Addresses, proxy, server
from tests.support.processes import ROOT, completed, without_settings

PROGRAM_SECONDS = 240.0
PROGRAMS = Path(__file__).parent / "programs"
DOCUMENT = ROOT / "docs/compatibility.md"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The words that start a client's program, less the addresses; its tool; its version."""

    command: list[str | Path]
    tool: list[str | Path]
    version: str
    variables: Mapping[str, str]


def main() -> int:
    """Returns 1 if a client fails that should work."""
    options = _parser().parse_args()
    clients = [each for each in CLIENTS if not options.only or any(word in each.name for word in options.only)]
    environments = Environments(options.folder.resolve())
    rows: list[Row] = []
    with server() as addresses:
        for through, group in groupby(clients, lambda client: client.through):
            for row in _through(through, list(group), addresses, environments):
                rows.append(row)
                print(f"{row.client} {row.version}, {row.transport}: {row.call}: {row.result}", flush=True)
    if not options.only:
        DOCUMENT.write_text(document(rows))
    failed = [row for row in rows if row.is_failure]
    print(f"{len(failed)} of {len(rows)} rows are failures", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.conformance", description="Tries other people's clients.")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs/conformance", help="where environments are kept")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only clients whose name holds one of these words")
    return parser


def _through(name: str, clients: Sequence[Client], addresses: Addresses, environments: Environments) -> Iterator[Row]:
    """Rows of clients that share a proxy, or have none."""
    with ExitStack() as stack:
        try:
            version = ""
            if name:
                print(f"{name} …", file=sys.stderr, flush=True)
                version, addresses = stack.enter_context(proxy(name, addresses, environments))
        except AbsentError as error:
            yield from (Row.absent(client, str(error)) for client in clients)
            return
        except Exception as error:  # it does not start: the finding
            yield from (Row.failed(client, str(error)) for client in clients)
            return
        for client in clients:
            print(f"{client.name}, {client.transport} …", file=sys.stderr, flush=True)
            yield from _rows(client, version, addresses, environments)


def _rows(client: Client, proxy_version: str, addresses: Addresses, environments: Environments) -> list[Row]:
    try:
        prepared = _prepared(client, environments)
    except AbsentError as error:
        return [Row.absent(client, str(error))]
    version = f"{prepared.version}, {proxy_version}" if proxy_version else prepared.version
    if client.is_on_http_port:
        addresses = replace(addresses, grpc=addresses.http)
    return rows_of(client, version, _outcomes(prepared, addresses))


def _prepared(client: Client, environments: Environments) -> Prepared:
    if client.is_javascript:
        folder = environments.node(client.program.partition(".")[0], client.packages)
        variables = {"NODE_PATH": str(folder / "node_modules")}
        return Prepared(["node", PROGRAMS / client.program], [], node_version(folder, client.package), variables)
    needs_library = bool(client.tool and client.packages)
    folder = environments.python(client.program, (*client.packages, "numpy"), needs_library)
    tool: list[str | Path] = []
    if client.tool:
        tool = environments.started_by_debian(next(folder.glob(client.tool), client.tool))
    version = python_version(folder, client.package) if client.packages else environments.debian_version(client.package)
    command: list[str | Path] = [folder / "bin/python", "-m", f"tests.conformance.programs.{client.program}"]
    return Prepared(command, tool, version, {})


def _outcomes(prepared: Prepared, addresses: Addresses) -> dict[str, str]:
    """Calls and what became of each; one with no name when the program did not come to its end."""
    command = [*prepared.command, addresses.grpc, addresses.http, *prepared.tool]
    variables = {name: value for name, value in without_settings().items() if name != "PYTHONPATH"}
    try:
        done = completed(command, seconds=PROGRAM_SECONDS, cwd=ROOT, env={**variables, **prepared.variables})
    except subprocess.TimeoutExpired:
        return {"": f"the program did not end within {PROGRAM_SECONDS:.0f} s"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        error = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"": f"the program failed: {error}"}
    outcomes: dict[str, str] = json.loads(lines[-1])
    return {call: without_addresses(outcome) for call, outcome in outcomes.items()}


if __name__ == "__main__":
    sys.exit(main())
