"""Servers that end under load: killed, drained, restarted one after the other."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.callers import CallOutcomes, calling, until_answered
from tests.chaos.service_process import running

CALLS_BETWEEN = 50  # answered, at least, between two faults


@dataclass(frozen=True, slots=True)
class Ended:
    """Number of processes that ended, and what became of the calls meanwhile."""

    ends: int
    calls: CallOutcomes


async def workers_killed(repository: Path, kills: int, pause_seconds: float = 0.0) -> Ended:
    """Kills a worker of two with -9, again and again, when all are there again; callers go on."""
    async with running(repository, "--workers", "2") as service, calling([service.grpc_address]) as calls:
        for _ in range(kills):
            await asyncio.sleep(pause_seconds)
            await until_answered(calls, CALLS_BETWEEN)
            killed = service.worker_pids[0]
            os.kill(killed, signal.SIGKILL)
            replaced = sum(event["event"] == "worker_replaced" for event in service.events) + 1
            async with asyncio.timeout(60):
                while sum(event["event"] == "worker_replaced" for event in service.events) < replaced:
                    await asyncio.sleep(0.01)
        await until_answered(calls, CALLS_BETWEEN)
    return Ended(kills, calls)


async def restarted_in_turn(repository: Path, rounds: int) -> Ended:
    """Restarts two servers in turn by SIGTERM, behind callers that know both."""
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(running(repository, "--workers", "2")) for _ in range(2)]
        ports = [service.port for service in services]
        async with calling([service.grpc_address for service in services]) as calls:
            for number in range(rounds):
                await until_answered(calls, CALLS_BETWEEN)
                ended = services[number % 2]
                ended.signal(signal.SIGTERM)
                if status := await ended.until_ended():
                    raise RuntimeError(f"a server ended with status {status}: {ended.events[-5:]}")
                again = running(repository, "--workers", "2", port=ports[number % 2])
                services[number % 2] = await stack.enter_async_context(again)
            await until_answered(calls, CALLS_BETWEEN)
    return Ended(rounds, calls)
