"""aiohttp's client."""

import asyncio
import sys
from typing import Any

import aiohttp

from tests.conformance.programs.calls import PICTURE, RAW, report

URL = f"http://{sys.argv[2]}"


async def digit(body: Any, **options: Any) -> Any:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"{URL}/v1/classify", data=body, **options) as answer,
    ):
        return (await answer.json())["digit"]


async def many() -> Any:
    return await asyncio.gather(*(digit(RAW) for _ in range(8)))


if __name__ == "__main__":
    report(
        {
            "picture": (lambda: digit(PICTURE), 3),
            "raw pixels": (lambda: digit(RAW), 2),
            "gzip": (lambda: digit(PICTURE, compress="gzip"), 3),
            "deflate": (lambda: digit(PICTURE, compress="deflate"), 3),
            "eight at once": (many, [2] * 8),
        }
    )
