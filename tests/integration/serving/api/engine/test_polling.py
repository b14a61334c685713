"""The thread that polls the completion queue reads the connections: gRPC's own threads wait for none of the calls."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.chaos.service_process import running
from tests.support.engine import ENGINE

CALLS = 300


def times_woken(pid: int) -> int:
    """How often the threads of gRPC's event engine have waited: once a call or more, where they read connections."""
    statuses: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            statuses.append((task / "status").read_text())
    return sum(
        int(line.split()[1])
        for status in statuses
        if status.startswith("Name:\tevent_engine")
        for line in status.splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


@pytest.mark.parametrize("workers", [1, 2])  # which import gRPC by different ways
@pytest.mark.skipif(ENGINE == "aio", reason="grpc.aio has a thread of its own for that")
async def test_no_thread_of_grpcs_is_woken_for_a_call(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.delenv("GRPC_EXPERIMENTS", raising=False)  # importing the engine has set it for this process
    async with (
        running(tiny_repository, "--workers", str(workers)) as service,
        grpc.aio.insecure_channel(service.grpc_address) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        pids = service.worker_pids or [service.pid]
        before = sum(map(times_woken, pids))
        assert before, "no thread of that name"
        for _ in range(CALLS):
            await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert sum(map(times_woken, pids)) - before < CALLS
