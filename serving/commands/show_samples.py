"""Shows a new server's predictions for sample pictures, with the client that people use."""

import asyncio
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from serving.api.listening_port import address
from serving.logging import LogStream

CLIENT = "mnist_digits"


async def show_samples(folder: Path, host: str, grpc_port: int, http_port: int) -> None:
    """Classifies the pictures in `folder` with the client's command line, and prints what to try next."""
    # A wildcard address can be listened on, not connected to.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    grpc, http = address(reachable, grpc_port), address(reachable, http_port)
    # The terminal may be closed meanwhile: then nothing can be shown, and the server drains.
    output, errors = LogStream(sys.stdout), LogStream(sys.stderr)
    if find_spec(CLIENT) is None:
        print("The samples need the Python client: pip install ./client", file=errors)
    elif await _classify(folder, grpc):
        print("Not every sample could be classified: see above.", file=errors)
    print(f"""
Serving digits: gRPC on {grpc}; http://{http} has a page to draw on, /metrics, /livez and /readyz.
Open http://{http}/ in a browser, or try in another terminal:
  {os.path.relpath(sys.executable)} -m {CLIENT} classify --address {grpc} YOUR_PICTURE_OR_FOLDER
  curl --data-binary @YOUR_PICTURE http://{http}/v1/classify
Ctrl-C ends it.""", file=output, flush=True)  # fmt: skip


async def _classify(folder: Path, grpc_address: str) -> int:
    """Runs the client's program and returns its exit status."""
    command = [sys.executable, "-m", CLIENT, "classify", "--address", grpc_address, str(folder)]
    # The user's settings of the client, a TLS file for instance, are for other servers.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MNIST_CLIENT_")}
    # subprocess uses vfork. A fork would run the handlers of gRPC, whose threads run here already, and these log lines.
    process = subprocess.Popen(command, env=environment)
    try:
        return await asyncio.to_thread(process.wait)
    finally:
        process.kill()  # harmless when it has ended; otherwise the server stops before the client ends
