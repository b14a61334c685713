"""httpx, blocking and for asyncio."""

import gzip
import sys
from typing import Any

import httpx

from tests.conformance.programs.calls import PICTURE, RAW, report

URL = f"http://{sys.argv[2]}"
CLIENT = httpx.Client(base_url=URL, timeout=10)


def digit(**options: Any) -> Any:
    return CLIENT.post("/v1/classify", **options).raise_for_status().json()["digit"]


async def awaited() -> Any:
    async with httpx.AsyncClient(base_url=URL, timeout=10) as client:
        return (await client.post("/v1/classify", content=PICTURE)).raise_for_status().json()["digit"]


if __name__ == "__main__":
    report(
        {
            "picture": (lambda: digit(content=PICTURE), 3),
            "raw pixels": (lambda: digit(content=RAW), 2),
            "gzip": (lambda: digit(content=gzip.compress(PICTURE), headers={"Content-Encoding": "gzip"}), 3),
            "chunked": (lambda: digit(content=iter([PICTURE[:100], PICTURE[100:]])), 3),
            "readyz": (lambda: CLIENT.get("/readyz").status_code, 200),
            "asyncio": (awaited, 3),
        }
    )
