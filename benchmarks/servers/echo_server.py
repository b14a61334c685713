"""A bare grpc.aio server on uvloop that returns the bytes it receives: the ceiling of any server on this engine.

`python -m benchmarks.servers.echo_server PORT --workers N --listeners M` runs N processes of M servers each, all on one
port (SO_REUSEPORT), as our server does.
"""

import argparse
import asyncio
import multiprocessing
import signal

import grpc
import uvloop

from benchmarks.protocols.open_inference import ECHO_METHOD


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers.echo_server", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--listeners", type=int, default=1)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    others = [
        context.Process(target=_worker, args=(options.port, options.listeners)) for _ in range(options.workers - 1)
    ]
    for process in others:
        process.start()
    _worker(options.port, options.listeners)
    for process in others:
        process.terminate()
        process.join()


def _worker(port: int, listeners: int) -> None:
    uvloop.run(_serve(port, listeners))


async def _echo(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _serve(port: int, listeners: int) -> None:
    service, method = ECHO_METHOD
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {method: grpc.unary_unary_rpc_method_handler(_echo)}
    running = []  # a server without a reference stops
    for _ in range(listeners):
        server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        running.append(server)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await asyncio.gather(*(server.stop(0) for server in running))


if __name__ == "__main__":
    main()
