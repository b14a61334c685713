"""HTTP client of a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp


class Web:
    """Calls of one server by HTTP."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}"

    async def classify(
        self, body: object, headers: dict[str, str] | None = None, query: str = ""
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Posts a body to /v1/classify; returns status, JSON and headers."""
        return await self.post(f"/v1/classify{query}", body, headers)

    async def post(
        self, path: str, body: object, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Posts a body to a path; returns status, JSON and headers."""
        sent = self._session.post(f"{self._url}{path}", data=body, headers=headers)
        async with sent as response:
            return response.status, await response.json(), dict(response.headers)

    async def metrics(self) -> dict[str, float]:
        """Value of each series at /metrics."""
        async with self._session.get(f"{self._url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@asynccontextmanager
async def web(port: int) -> AsyncIterator[Web]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        yield Web(session, port)
