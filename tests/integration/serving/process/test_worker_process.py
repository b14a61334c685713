"""A client that requests a load while the service starts does not keep it from getting ready."""

import asyncio
import socket

from serving.process.ipc import CollectService, Ready, ReloadModels, WorkerLink
from serving.process.worker_process import WorkerProcess


class _Service:
    reloads, is_ready = 0, False

    async def reload_models(self) -> None:
        self.reloads += 1

    async def collect(self) -> list[object]:
        return []


class _Process:
    pid = 0

    async def wait(self) -> int:
        await asyncio.Event().wait()
        return 0


async def test_a_reload_that_a_worker_passes_on_before_it_is_ready_does_not_end_its_start() -> None:
    ours, theirs = socket.socketpair()
    near, far = await WorkerLink.open(ours), await WorkerLink.open(theirs)
    service = _Service()
    worker = WorkerProcess(0, _Process(), near, service)  # type: ignore[arg-type]
    for message in (CollectService(), ReloadModels(), Ready((2,))):
        await far.send(message)
    async with asyncio.timeout(2):
        await worker.until_ready()
        while not service.reloads:
            await asyncio.sleep(0)
    assert (worker.is_ready, worker.versions, service.reloads) == (True, (2,), 1)
    await far.close()
    await near.close()
