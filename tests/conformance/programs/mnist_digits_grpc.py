"""Our own client, blocking and for asyncio."""

import sys

from mnist_digits import AsyncDigitClient, CallError, DigitClient
from tests.conformance.programs.calls import DIGITS, PICTURE, PIXELS, report

ADDRESS = sys.argv[1]
CLIENT = DigitClient(ADDRESS)


async def awaited() -> list[int]:
    async with AsyncDigitClient(ADDRESS) as client:
        return [each.digit for each in await client.classify(list(PIXELS))]


def refused() -> str:
    try:
        CLIENT.classify([b"no picture"])
    except CallError as error:
        return error.code
    return "OK"


if __name__ == "__main__":
    report(
        {
            "classify": (lambda: [each.digit for each in CLIENT.classify([*PIXELS, PICTURE])], [*DIGITS, 3]),
            "classify_many": (lambda: [each.digit for each in CLIENT.classify_many(list(PIXELS) * 50)], DIGITS * 50),
            "explain": (lambda: CLIENT.explain(PIXELS[0]).prediction.digit, DIGITS[0]),
            "get_model": (lambda: CLIENT.get_model().name, "mnist"),
            "no picture": (refused, "INVALID_ARGUMENT"),
            "asyncio": (awaited, DIGITS),
        }
    )
