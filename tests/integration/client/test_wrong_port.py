"""Clients that cannot connect for a reason that somebody can mend say which, and say nothing of it otherwise."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from mnist_digits import AsyncDigitClient, CallError, DigitClient
from tests.support.authority import Authority
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of


async def failure(address: str, credentials: grpc.ChannelCredentials | None) -> str:
    """What both clients say of a call there: it must be the same."""

    def blocking() -> str:
        with DigitClient(address, credentials=credentials) as client, pytest.raises(CallError) as raised:
            client.classify(image_of(3))
        return raised.value.message

    async def on_loop() -> str:
        async with AsyncDigitClient(address, credentials=credentials) as client:
            with pytest.raises(CallError) as raised:
                await client.classify(image_of(3))
        return raised.value.message

    messages = await asyncio.gather(asyncio.to_thread(blocking), on_loop())  # each takes the seconds of the retries
    advices = {message.partition(" (")[2] for message in messages}
    assert len(advices) == 1, messages
    return messages[0]


async def test_clients_say_what_to_do_where_they_and_the_port_differ_and_nothing_where_nobody_listens(
    start_server: StartServer, tmp_path: Path
) -> None:
    authority, other, elsewhere = (Authority(tmp_path / name) for name in ("one", "other", "elsewhere"))
    certificate, trusting = authority.issue("127.0.0.1"), authority.trusting()
    async with AsyncExitStack() as stack:
        free = stack.enter_context(socket.socket())
        plain, tls, mutual, named = [
            await stack.enter_async_context(start_server(**settings))
            for settings in (
                {},
                certificate,
                {**certificate, "tls_client_ca": other.file},
                elsewhere.issue("digits.example"),
            )
        ]
        free.bind(("127.0.0.1", 0))  # held and not listening: nobody else gets it
        places = {
            "needs TLS": (tls.grpc_port, None),
            "speaks plain text": (plain.grpc_port, trusting),
            "has signed the server's certificate": (tls.grpc_port, other.trusting()),
            "speaks HTTP and no gRPC": (plain.http_port, None),
            "a client's certificate": (mutual.grpc_port, trusting),
            "use a name that is in the certificate": (named.grpc_port, elsewhere.trusting()),
            "Connection refused": (free.getsockname()[1], None),
        }
        said = await asyncio.gather(*(failure(f"127.0.0.1:{port}", used) for port, used in places.values()))
        for words, message in zip(places, said, strict=True):
            assert words in message
        assert "TLS" not in said[-1]
        async with AsyncDigitClient(f"127.0.0.1:{tls.grpc_port}", credentials=trusting) as client:
            assert (await client.classify(image_of(3)))[0].digit == 3
