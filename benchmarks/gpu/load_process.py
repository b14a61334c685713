"""One process of a closed-loop load: a constant number of requests outstanding, by gRPC without a gRPC library.

`python -m benchmarks.gpu.load_process PORT IMAGES OUTSTANDING SECONDS` prints what came of it as JSON. Several run side
by side, because one Python process sends fewer requests than a large machine answers.
"""

import asyncio
import json
import sys
import time

from benchmarks.load.http2_connection import connect
from benchmarks.protocols.open_inference import open_inference
from benchmarks.servers.example_network import sample_digits

WARM_UP_SECONDS = 0.5  # not counted


async def load(port: int, images: int, outstanding: int, seconds: float) -> dict[str, list[float] | int | float]:
    """Loads the server on `port` of the loopback; returns milliseconds of each request, errors and the seconds.

    A response without a body is an error. Requests that are unanswered at the end count as neither.
    """
    protocol = open_inference("mnist")
    connection = await connect(protocol.path, port, protocol.body(sample_digits()[:images]))
    milliseconds: list[float] = []
    errors = 0
    counts_from = time.perf_counter() + WARM_UP_SECONDS
    ends = counts_from + seconds
    done = asyncio.Event()

    def send() -> None:
        began = time.perf_counter()

        def on_response(received: int) -> None:
            nonlocal errors
            now = time.perf_counter()
            if began >= counts_from and now < ends:
                milliseconds.append((now - began) * 1e3)
                errors += not received
            if now < ends:
                send()
            else:
                done.set()

        connection.send(on_response)

    for _ in range(outstanding):
        send()
    try:
        await asyncio.wait_for(done.wait(), WARM_UP_SECONDS + seconds + 5)
    finally:
        connection.close()
    return {"milliseconds": milliseconds, "errors": errors, "seconds": seconds}


if __name__ == "__main__":
    port, images, outstanding = map(int, sys.argv[1:4])
    print(json.dumps(asyncio.run(load(port, images, outstanding, float(sys.argv[4])))))
