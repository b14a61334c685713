"""The route /metrics."""

import asyncio
from collections.abc import Sequence

from prometheus_client import Metric
from starlette.requests import Request

from serving.api.http.server import metrics_routes

SCRAPES = 20


async def test_waiting_calls_run_between_scrapes_however_many_wait() -> None:
    turns, turn_of_scrape = 0, list[int]()

    async def collect() -> Sequence[Metric]:
        turn_of_scrape.append(turns)
        return []

    request = Request({"type": "http", "method": "GET", "path": "/metrics", "headers": []})
    (route,) = metrics_routes(collect)
    scrapes = [asyncio.ensure_future(route.endpoint(request)) for _ in range(SCRAPES)]
    while not all(scrape.done() for scrape in scrapes):
        await asyncio.sleep(0)  # a turn of the loop, in which every other call that waits runs too
        turns += 1
    assert len(turn_of_scrape) == len(set(turn_of_scrape)) == SCRAPES
