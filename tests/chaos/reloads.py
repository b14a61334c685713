"""Model versions that come, whole and broken, while a server of two workers is under load."""

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mnist_digits import AsyncDigitClient
from tests.chaos.callers import CallOutcomes, calling
from tests.chaos.service_process import running
from tests.support.tiny_model import write_tiny_version

POLL_SECONDS = "0.05"
BROKEN_EVERY = 3


@dataclass(frozen=True, slots=True)
class Swapped:
    """Outcomes of the calls meanwhile, and number of broken versions that were refused."""

    calls: CallOutcomes
    refused: int


async def swapped(repository: Path, versions: int) -> Swapped:
    """Puts versions into the repository, every third one cut short; each whole one is waited for, and served."""
    highest = max(int(folder.name) for folder in (repository / "mnist").iterdir() if folder.name.isdecimal())
    refused = 0
    flags = ("--workers", "2", "--model-poll-seconds", POLL_SECONDS)
    async with running(repository, *flags) as service, calling([service.grpc_address]) as calls:
        for version in range(highest + 1, highest + 1 + versions):
            broken = version % BROKEN_EVERY == 0
            _put(repository, version, broken=broken)
            async with asyncio.timeout(60):
                if broken:
                    while not any(e["event"] == "model_refused" and e["version"] == version for e in service.events):
                        await asyncio.sleep(0.01)
                    refused += 1
                    shutil.rmtree(repository / "mnist" / str(version))
                else:
                    await _until_served(service.grpc_address, version)
                    shutil.rmtree(repository / "mnist" / str(version - 1), ignore_errors=True)
    return Swapped(calls, refused)


def _put(repository: Path, version: int, *, broken: bool) -> None:
    """Puts a version's folder into the repository, all at once."""
    with tempfile.TemporaryDirectory(dir=repository) as folder:
        whole = write_tiny_version(Path(folder), version)
        if broken:
            with (whole / "model.onnx").open("ab") as file:
                os.truncate(file.fileno(), file.tell() - 100)
        whole.rename(repository / "mnist" / str(version))


async def _until_served(address: str, version: int) -> None:
    """Returns when the worker that a new connection leads to serves the version."""
    while True:
        async with AsyncDigitClient(address) as client:
            if (await client.get_model()).version == version:
                return
