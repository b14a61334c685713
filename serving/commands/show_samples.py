"""Shows a new server's predictions for sample pictures, with the client that people use."""

import asyncio
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from serving.logging import LogStream
from serving.setting_values import UNIX, is_unix

CLIENT = "mnist_digits"


async def show_samples(folder: Path, grpc: str, http: str) -> None:
    """Classifies the pictures in `folder` with the client's command line, and prints what to try next.

    `grpc`, `http`: HOST:PORT, or unix:PATH, on which the server listens.
    """
    grpc, http = _reachable(grpc), _reachable(http)
    page, curl = f"http://{http}", f"--data-binary @YOUR_PICTURE http://{http}"
    if is_unix(http):
        page, curl = http, f"--unix-socket {http.removeprefix(UNIX)} --data-binary @YOUR_PICTURE http://localhost"
    # The terminal may be closed meanwhile: then nothing can be shown, and the server drains.
    output, errors = LogStream(sys.stdout), LogStream(sys.stderr)
    if find_spec(CLIENT) is None:
        print("The samples need the Python client: pip install ./client", file=errors)
    elif await _classify(folder, grpc):
        print("Not every sample could be classified: see above.", file=errors)
    lines = [
        f"Serving digits: gRPC on {grpc}; {page} has a page to draw on, /metrics, /livez and /readyz.",
        "Try in another terminal:" if is_unix(http) else f"Open {page}/ in a browser, or try in another terminal:",
        f"  {os.path.relpath(sys.executable)} -m {CLIENT} classify --address {grpc} YOUR_PICTURE_OR_FOLDER",
        f"  curl {curl}/v1/classify",
        "Ctrl-C ends it.",
    ]
    print("", *lines, sep="\n", file=output, flush=True)


def _reachable(address: str) -> str:
    """Returns an address to connect to: a wildcard address can only be listened on."""
    for wildcard, loopback in (("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")):
        if address.startswith(wildcard):
            return loopback + address.removeprefix(wildcard)
    return address


async def _classify(folder: Path, grpc_address: str) -> int:
    """Runs the client's program and returns its exit status."""
    # Without the README: of a folder, the client would report in the server's log that it skips that.
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".md")
    command = [sys.executable, "-m", CLIENT, "classify", "--address", grpc_address, *map(str, files or [folder])]
    # The user's settings of the client, a TLS file for instance, are for other servers.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MNIST_CLIENT_")}
    # subprocess uses vfork. A fork would run the handlers of gRPC, whose threads run here already, and these log lines.
    process = subprocess.Popen(command, env=environment)
    try:
        return await asyncio.to_thread(process.wait)
    finally:
        process.kill()  # harmless when it has ended; otherwise the server stops before the client ends
