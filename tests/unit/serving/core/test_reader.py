"""The Read use case: what it takes room for and charges, that it gives all back, and which version answers."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from serving.auth import rate_limits
from serving.auth.api_keys import ApiKey, Caller
from serving.auth.rate_limits import RateLimits
from serving.core.admission import Admission
from serving.core.batcher import Batcher
from serving.core.classifier import Classifier
from serving.core.decoders import CAPACITY, Decoders
from serving.core.picture_decoder import EncodedImage, PictureDecoder
from serving.core.reader import Reader
from serving.core.registry import Registry, ServedModel
from serving.core.runner import ThreadRunner
from serving.errors import (
    DecodersFullError,
    ExpiredError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
    RateLimitedError,
    TooLateError,
    UnknownVersionError,
)
from serving.image.picture import ImageLimits, Quality
from serving.image.segmentation.columns import unread
from serving.image.segmentation.segmentation import MAX_CANDIDATES, segment
from serving.metrics.metrics import Metrics
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from serving.predictions import BatchPredictions, Pixels
from serving.readings import Layout, Reading
from tests.support.pictures import file_of, picture_of
from tests.support.tiny_model import write_tiny_version

LIMITS = ImageLimits(max_bytes=2**20, max_pixels=2**20)
LINE = picture_of("31415")
CANDIDATES = len(segment(LINE, LIMITS, Layout.AUTO, unread).pixels)
LARGEST = 64  # images in a batch
PAGE = picture_of(*["31415926"] * 5)
ANYONE = Caller("anyone")


class Stage:
    """A reader on the tiny model, with a gate before decoding and one before inference; both are open at first."""

    def __init__(self, root: Path, capacity: int) -> None:
        self._root = root
        self.metrics = Metrics(CollectorRegistry())
        self.registry = Registry()
        self.admission = Admission(capacity)
        self.decoders = Decoders(1)
        self.may_decode, self.may_infer, self.infers = threading.Event(), threading.Event(), threading.Event()
        self.may_decode.set()
        self.may_infer.set()
        self.batches: list[int] = []
        self.batchers: list[Batcher] = []
        pictures = PictureDecoder(LIMITS, self.decoders, self.metrics)
        self.classifier = Classifier(self.registry, self.admission, RateLimits(), pictures, 10, self.metrics)
        self.reader = Reader(self.registry, self.classifier, unread)

    def serve(self, *versions: int) -> None:
        """Serves these versions, each with a new batcher."""
        self.registry.serve([self._served(version) for version in versions])

    def hold_decoders(self) -> None:
        self.may_decode.clear()
        for is_long in (False, True):
            self.decoders.run("another", 1, lambda: self.may_decode.wait(30), is_long=is_long)

    def read(self, picture: bytes = LINE, caller: Caller = ANYONE) -> "asyncio.Task[Reading]":
        return asyncio.create_task(self.reader.read(picture, caller))

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def _served(self, version: int) -> ServedModel:
        repository = ModelRepository(self._root, "mnist")
        model = repository.load(version, lambda graph, _: OnnxSession(graph, "cpu", threads=1), largest_batch=8)

        def run(pixels: Pixels) -> BatchPredictions:
            self.infers.set()
            assert self.may_infer.wait(30)
            self.batches.append(len(pixels))
            return model.run(pixels)

        batcher = Batcher(ThreadRunner(run), self.metrics, LARGEST, 0.0)
        batcher.start()
        self.batchers.append(batcher)
        return ServedModel(model, batcher, is_tuned=False)


@asynccontextmanager
async def staged(root: Path, capacity: int = 4096, versions: tuple[int, ...] = (1,)) -> AsyncIterator[Stage]:
    for version in versions:
        write_tiny_version(root, version)
    stage = Stage(root, capacity)
    stage.serve(*versions)
    try:
        yield stage
        assert stage.admission.held == 0, "room was not given back"
    finally:
        stage.may_decode.set()
        stage.may_infer.set()
        for batcher in stage.batchers:
            await batcher.close()
        stage.decoders.close()


async def test_candidates_hold_room_and_leave_in_one_batch(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.hold_decoders()
        stage.may_infer.clear()
        reading = stage.read()
        await asyncio.sleep(0)
        assert stage.admission.held == 1  # until it is known how many there are
        stage.may_decode.set()
        await asyncio.to_thread(stage.infers.wait, 30)
        assert stage.admission.held == CANDIDATES >= 5
        stage.may_infer.set()
        found = await reading
        assert (found.version, found.batch_images, stage.batches) == (1, CANDIDATES, [CANDIDATES])
        assert found.decode_seconds > 0
        assert found.inference_seconds > 0
        assert stage.value("mnist_decode_seconds_count") == 1


async def test_one_image_of_another_runs_between_the_batches_of_a_page(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.may_infer.clear()
        reading = stage.read(PAGE)
        await asyncio.to_thread(stage.infers.wait, 30)
        other = asyncio.create_task(stage.classifier.classify(np.zeros((1, 784), np.uint8), Caller("other")))
        await asyncio.sleep(0)
        stage.may_infer.set()
        await asyncio.gather(other, reading)
        first, between, *rest = stage.batches
        assert (first, between) == (LARGEST, 1)
        full, last = divmod(len(segment(PAGE, LIMITS, Layout.AUTO, unread).pixels) - LARGEST, LARGEST)
        assert full + last > 0
        assert rest == [LARGEST] * full + [last] * (last > 0)
        assert len((await reading).lines) == 5


async def test_page_whose_version_is_replaced_between_two_batches_is_read_by_the_new_one_alone(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        write_tiny_version(tmp_path, 2)
        stage.may_infer.clear()
        reading = stage.read(PAGE)
        await asyncio.to_thread(stage.infers.wait, 30)
        stage.serve(2)
        closing = asyncio.create_task(stage.batchers[0].close())
        await asyncio.sleep(0)
        stage.may_infer.set()
        found = await reading
        await closing
        assert (found.version, len(found.lines)) == (2, 5)


async def test_blank_picture_needs_no_inference(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        found = await stage.read(file_of(Image.new("L", (40, 30), 200)))
        assert (found.lines, found.version, found.batch_images, stage.batches) == ((), 1, 0, [])
        assert (found.width, found.height) == (40, 30)
        assert Quality.BLANK in found.quality
        assert stage.value("mnist_remarks_total", quality="blank") == 1


@pytest.mark.parametrize("content", [b"", b"no picture", bytes(784), LINE[:100]])
async def test_what_is_no_picture_is_refused_and_holds_no_room(tmp_path: Path, content: bytes) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(InvalidRequestError):
            await stage.read(content)


async def test_noise_has_no_more_candidates_than_the_bound(tmp_path: Path) -> None:
    stripes = Image.new("L", (4000, 20), 255)
    for x in range(0, 4000, 2):
        stripes.putpixel((x, 10), 0)
    async with staged(tmp_path) as stage:
        await stage.read(file_of(stripes))
        assert sum(stage.batches) <= MAX_CANDIDATES


async def test_one_reader_alone_may_fill_the_server(tmp_path: Path) -> None:
    async with staged(tmp_path, capacity=CANDIDATES) as stage:
        assert (await stage.read()).batch_images == CANDIDATES


async def test_picture_that_the_server_never_has_room_for_is_not_to_be_sent_again(tmp_path: Path) -> None:
    async with staged(tmp_path, capacity=CANDIDATES - 1) as stage:
        with pytest.raises(InvalidRequestError, match="send a part of it"):
            await stage.read()


async def test_candidates_without_room_are_refused_with_a_time_to_retry(tmp_path: Path) -> None:
    async with staged(tmp_path, capacity=CANDIDATES) as stage:
        assert stage.admission.admit("other", 1)
        with pytest.raises(OverloadedError) as raised:
            await stage.read()
        assert raised.value.retry_after_seconds
        assert stage.admission.held == 1
        stage.admission.release("other", 1)
        await stage.read()


def key_with(images_per_second: float) -> Caller:
    return Caller("slow", ApiKey("slow", bytes(32), frozenset({"classify"}), images_per_second, index=0))


async def test_key_pays_for_every_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    caller = key_with(CANDIDATES)
    async with staged(tmp_path) as stage:
        for _ in range(2):  # a second ahead, and no more
            assert (await stage.read(caller=caller)).lines
        with pytest.raises(RateLimitedError) as raised:
            await stage.read(caller=caller)
        assert raised.value.retry_after_seconds == pytest.approx(1)


async def test_page_beyond_the_burst_of_a_key_is_refused_and_gives_the_room_back(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(InvalidRequestError, match=rf"at most {CANDIDATES - 1} .* holds {CANDIDATES}"):
            await stage.read(caller=key_with(CANDIDATES - 1))
        assert stage.admission.held == 0


async def test_caller_who_leaves_gives_the_room_back(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.hold_decoders()
        early = stage.read()
        await asyncio.sleep(0)
        early.cancel()
        with pytest.raises(asyncio.CancelledError):
            await early
        assert stage.admission.held == 0
        stage.may_decode.set()
        stage.may_infer.clear()
        late = stage.read()
        await asyncio.to_thread(stage.infers.wait, 30)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        assert stage.admission.held == 0


async def test_deadline_that_has_passed_is_answered_with_no_inference(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(ExpiredError):
            await stage.reader.read(LINE, ANYONE, deadline=time.monotonic() - 1)
        assert stage.batches == []


async def test_picture_that_is_not_decoded_by_the_deadline_is_let_go(tmp_path: Path) -> None:
    photo = [EncodedImage(picture_of("7", form="JPEG"))]
    async with staged(tmp_path) as stage:
        stage.hold_decoders()
        for answer in (
            stage.reader.read(LINE, ANYONE, deadline=time.monotonic() + 0.05),
            stage.classifier.classify(photo, ANYONE, deadline=time.monotonic() + 0.05),
        ):
            with pytest.raises(ExpiredError):
                await answer
            assert (stage.admission.held, stage.decoders.held) == (0, 0)
        assert stage.batches == []


async def test_picture_whose_turn_comes_too_late_is_refused_with_a_time_to_retry(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.read()  # tells how long a unit of work takes
        with stage.decoders.admitted("other", 1000), pytest.raises(TooLateError) as raised:
            await stage.reader.read(LINE, Caller("other"), deadline=time.monotonic() + 0.1)
        assert raised.value.retry_after_seconds
        assert stage.admission.held == 0


async def test_pictures_without_room_are_refused_and_cost_a_key_nothing(tmp_path: Path) -> None:
    caller = Caller("slow", ApiKey("slow", bytes(32), frozenset({"classify"}), images_per_second=0.5, index=0))
    photo = [EncodedImage(picture_of("7", form="JPEG"))]
    async with staged(tmp_path) as stage:
        with stage.decoders.admitted("other", CAPACITY):
            for _ in range(3):
                with pytest.raises(DecodersFullError):
                    await stage.classifier.classify(photo, caller)
        assert (await stage.classifier.classify(photo, caller)).images == 1


async def test_requested_version_answers_and_another_is_unknown(tmp_path: Path) -> None:
    async with staged(tmp_path, versions=(1, 2)) as stage:
        assert (await stage.reader.read(LINE, ANYONE)).version == 2
        assert (await stage.reader.read(LINE, ANYONE, version=1)).version == 1
        with pytest.raises(UnknownVersionError):
            await stage.reader.read(LINE, ANYONE, version=3)


async def test_version_replaced_during_segmentation_gives_way_to_the_new_one(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        write_tiny_version(tmp_path, 2)
        stage.hold_decoders()
        reading = stage.read()
        await asyncio.sleep(0)
        stage.serve(2)
        await stage.batchers[0].close()
        stage.registry.close("the server is shutting down")  # what was admitted is still read
        stage.may_decode.set()
        assert (await reading).version == 2
        with pytest.raises(NotReadyError):
            await stage.read()
