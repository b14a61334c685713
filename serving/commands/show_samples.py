"""Shows a new server's predictions for sample pictures, with the client that people use."""

import asyncio
import os
import sys
from pathlib import Path

from serving.api.listening_port import address


async def show_samples(folder: Path, host: str, grpc_port: int, http_port: int) -> None:
    """Classifies the pictures in `folder` with the client's command line, and prints what to try next."""
    # A wildcard address can be listened on, not connected to.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    grpc, http = address(reachable, grpc_port), address(reachable, http_port)
    client = (sys.executable, "-m", "mnist_digits")
    process = await asyncio.create_subprocess_exec(*client, "classify", "--address", grpc, str(folder))
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:  # cancelled: the server stops before the client ends
            process.kill()
    if status:
        print("Not every sample could be classified: see above.", file=sys.stderr)
    print(f"""
Serving digits: gRPC on {grpc}; http://{http} has a page to draw on, /metrics, /livez and /readyz.
Open http://{http}/ in a browser, or try in another terminal:
  {os.path.relpath(sys.executable)} -m mnist_digits classify --address {grpc} YOUR_PICTURE_OR_FOLDER
  curl --data-binary @YOUR_PICTURE http://{http}/v1/classify
Ctrl-C ends it.""", flush=True)  # fmt: skip
