"""A store that is full or damaged, and workers that die: feedback is refused or kept, and no answer is in its way."""

import asyncio
import json
import os
import signal
from pathlib import Path

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.config import Config
from serving.logging import get_logger
from serving.process.supervisor import Supervisor
from tests.integration.serving.process.test_workers import until_replaced
from tests.support.engine import ENGINE
from tests.support.feedback import PATH, code_of, feedback, images, kept, stub_of, text_feedback
from tests.support.pictures import picture_of
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.web import Web, web
from tests.unit.serving.store.test_keeper import no_file_longer_than


async def test_a_full_disk_loses_feedback_and_no_answer(caller: Web, stub: DigitClassifierStub) -> None:
    answer = await stub.Classify(images(4))
    with no_file_longer_than(64 * 1024):
        codes = []
        for number in range(60):
            answer = await stub.Classify(images(number % 10))
            assert len(answer.predictions) == 1
            codes.append(await code_of(stub.Feedback(feedback(answer.request_id, 0, 1))))
        assert set(codes) <= {"OK", "UNAVAILABLE"}
        assert codes[-1] == "UNAVAILABLE"
        status, refused, _ = await caller.post(PATH, json.dumps({"request_id": answer.request_id, "digit": 1}))
        assert (status, refused["code"]) == (503, "UNAVAILABLE")
        assert "store.db" not in refused["message"]
    assert (await caller.metrics())['mnist_store_failures_total{reason="full"}'] >= 1


async def test_a_damaged_store_does_not_keep_the_server_from_serving(start_server: StartServer, store: Path) -> None:
    store.write_bytes(b"no database" * 1000)
    async with start_server(store=store) as server, stub_of(server.grpc_port) as stub, web(server.http_port) as caller:
        answer = await stub.Classify(images(4))
        assert await code_of(stub.Feedback(feedback(answer.request_id, 0, 1))) == "UNAVAILABLE"
        assert (await caller.metrics())['mnist_store_failures_total{reason="damaged"}'] >= 1
    assert store.read_bytes() == b"no database" * 1000


async def test_any_worker_takes_feedback_and_a_killed_one_loses_none_that_was_acknowledged(store: Path) -> None:
    models, line = ROOT / "models", digits_pb2.ReadRequest(picture=picture_of("31"))
    config = Config(model_repository=models, grpc_port=0, http_port=0, device="cpu", grpc_engine=ENGINE, store=store)
    async with Supervisor(config, get_logger(), workers=2) as supervisor:
        answers, acknowledged = [], set()
        for number in range(12):  # a connection each: the kernel spreads them
            async with stub_of(supervisor.grpc_port) as stub:
                answers.append(await stub.Classify(images(number % 10), metadata=[("x-request-id", f"r{number}")]))
                await stub.Read(line, metadata=[("x-request-id", f"line{number}")])
        for number in range(6):
            async with stub_of(supervisor.grpc_port) as stub:
                await stub.Feedback(feedback(f"r{number}", 0, 1))
            acknowledged.add((f"r{number}", 0))
        died = supervisor.worker_pids[0]
        os.kill(died, signal.SIGKILL)
        assert set(kept(store)) == acknowledged
        await until_replaced(supervisor, died)
        async with asyncio.timeout(30):
            for number in range(6, 12):  # what the killed worker answered is still at hand
                async with stub_of(supervisor.grpc_port) as stub:
                    await stub.Feedback(feedback(f"r{number}", 0, 1), wait_for_ready=True)
                    await stub.Feedback(text_feedback(f"line{number}", 0, "11"), wait_for_ready=True)
                acknowledged |= {(f"r{number}", 0), (f"line{number}", 0), (f"line{number}", 1)}
    assert set(kept(store)) == acknowledged
    assert all(truth == 1 for _, truth, _ in kept(store).values())
