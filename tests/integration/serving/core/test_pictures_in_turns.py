"""One client's heavy pictures hold up nobody else's light ones, and take bounded memory."""

from pathlib import Path

from tests.chaos.pictures import crowded, largest_mebibytes
from tests.chaos.service_process import running

LARGEST_MEBIBYTES = 600


async def test_light_pictures_are_answered_while_heavy_ones_wait_without_end(tiny_repository: Path) -> None:
    async with running(tiny_repository, "--workers", "1") as service:
        outcomes = await crowded(service.grpc_address, light_calls=40, seconds=30)
        assert outcomes.light == {"OK": 40}
        ends = {status.removeprefix("Read ") for status in outcomes.heavy}
        assert ends <= {"OK", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"}
        assert largest_mebibytes(service.pid) < LARGEST_MEBIBYTES
