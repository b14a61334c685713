"""Calls with feedback, and what a store keeps of them."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.support.tiny_model import image_of

PATH = "/v1/feedback"


def images(*digits: int) -> digits_pb2.ClassifyRequest:
    return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(digit)) for digit in digits])


def feedback(request_id: str, index: int, digit: int | None) -> digits_pb2.FeedbackRequest:
    truth: dict[str, Any] = {"no_digit": True} if digit is None else {"digit": digit}
    return digits_pb2.FeedbackRequest(request_id=request_id, index=index, **truth)


def text_feedback(request_id: str, line: int, text: str) -> digits_pb2.FeedbackRequest:
    return digits_pb2.FeedbackRequest(request_id=request_id, index=line, text=text)


def kept(path: Path) -> dict[tuple[str, int], tuple[int, int, bytes]]:
    """Digit, truth and pixels by request and index, as another program reads them."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT request_id, image_index, digit, truth, pixels FROM pictures").fetchall()
    return {(row[0], row[1]): row[2:] for row in rows}


@asynccontextmanager
async def stub_of(port: int, **options: Any) -> AsyncIterator[DigitClassifierStub]:
    own = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", own) as channel:
        yield DigitClassifierStub(channel, **options)


async def code_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"
