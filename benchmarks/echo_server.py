"""A bare grpc.aio server on uvloop that gives back the bytes it gets and does nothing else: `PORT [SERVERS]`.

With several servers on its one port it has the arrangement of ours, and is the ceiling of this engine.
"""

import asyncio
import sys

import grpc
import uvloop

METHOD = ("benchmark.Echo", "Echo")


async def _echo(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _serve(port: int, servers: int) -> None:
    service, method = METHOD
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {method: grpc.unary_unary_rpc_method_handler(_echo)}
    running = []  # a server that nobody holds stops
    for _ in range(servers):
        server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        running.append(server)
    print(f"listening {port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
