"""Feedback on the signs and lines of a reading: a line's text is laid to its digits, or refused."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from serving.auth import rate_limits
from serving.auth.api_keys import ApiKey, Caller
from serving.auth.rate_limits import RateLimits
from serving.core.batch_queue import NO_DEADLINE
from serving.core.feedback import CAPACITY, LONGEST_TEXT, Feedback, LineTruth, Recorder, StoreObserver, Truth
from serving.errors import InvalidRequestError, RateLimitedError, StoreUnavailableError, UnknownRequestError
from serving.logging import get_logger
from serving.metrics.feedback_metrics import FeedbackMetrics
from serving.predictions import Pixels
from serving.readings import Glyph, Line
from serving.store.database import MIN_BYTES
from serving.store.keeper import Keeper
from serving.store.memory import RecentMemory
from serving.store.recent import RecentImages
from serving.store.records import FEEDBACK, NO_DIGIT, Name
from tests.unit.serving.store.test_keeper import no_file_longer_than

CALLER = Caller("somebody", request_id="r")
Signs = Sequence[Sequence[int | None]]  # of each line: digits, or None for a sign that is refused


class Stage:
    """A recorder and the feedback on what it has taken."""

    def __init__(self, folder: Path, memory: RecentMemory) -> None:
        self.path = folder / "store.db"
        metrics, log = FeedbackMetrics(CollectorRegistry()), get_logger()
        self.recent = RecentImages(memory.place)
        self.keeper = Keeper(self.path, MIN_BYTES, 0, self.recent, StoreObserver(metrics, log))
        self.recorder = Recorder(self.keeper, self.recent, [FEEDBACK], 0.0, log)
        self.feedback = Feedback(self.keeper, RateLimits(), metrics)

    def answer(self, signs: Signs, caller: Caller = CALLER) -> Pixels:
        """Takes a reading, and returns the pixels of its signs, in reading order."""
        total = sum(map(len, signs))
        candidates = np.random.default_rng(total).integers(0, 256, (total + 5, 784), np.uint8)
        rows = iter(np.random.default_rng(total).permutation(total + 5)[:total].tolist())  # in no order
        lines, seen = [], []
        for each in signs:
            taken = [next(rows) for _ in each]
            seen += taken
            lines.append(line_of(each, taken))
        self.recorder.add_lines(caller, candidates, lines, version=3)
        return candidates[seen]

    async def tell(self, line: int, text: str, caller: Caller = CALLER, request_id: str = "r") -> str:
        answered = await self.feedback.give_line(LineTruth(request_id, line, text), caller, NO_DEADLINE)
        assert answered.version == 3
        return answered.text

    async def kept(self) -> dict[int, tuple[int, int, int, bytes]]:
        """Digit, refusal, truth and pixels by index."""
        assert await self.keeper.label(Name("", "unknown", 0), 0) is None  # once it is open, and what waits is written
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT image_index, digit, refusal, truth, pixels FROM pictures").fetchall()
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0]: row[1:] for row in rows}


def line_of(signs: Sequence[int | None], rows: Sequence[int]) -> Line:
    glyphs = tuple(
        Glyph((0, 0, 1, 1), sign or 0, np.full(10, 0.1, np.float32), 0.2, refused=sign is None) for sign in signs
    )
    text = "".join(str(sign) for sign in signs if sign is not None)
    return Line(glyphs, text, 0.9, refused=False, candidates=np.array(rows, np.int64))


@asynccontextmanager
async def staged(images: int = 4096) -> AsyncIterator[Stage]:
    memory = RecentMemory(images, workers=1)
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder), memory)
        stage.keeper.start()
        try:
            yield stage
        finally:
            await stage.keeper.close()
            stage.recent.close()
            memory.close()


readings = st.lists(st.lists(st.one_of(st.integers(0, 9), st.none()), min_size=1, max_size=8), min_size=1, max_size=5)


@settings(deadline=None, max_examples=20)  # a busy disk stalls now and then
@given(readings, st.data())
async def test_a_text_is_the_truth_about_each_digit_of_its_line_and_about_no_other_sign(
    signs: Signs, data: st.DataObject
) -> None:
    line = data.draw(st.integers(0, len(signs) - 1))
    first = sum(map(len, signs[:line]))
    digits = {first + place: sign for place, sign in enumerate(signs[line]) if sign is not None}
    fits = st.text("0123456789", min_size=len(digits), max_size=len(digits)).filter(bool)
    text = data.draw(st.one_of(*([fits] * bool(digits)), st.text("0123456789", min_size=1, max_size=8)))
    async with staged() as stage:
        pixels = stage.answer(signs)
        if len(text) == len(digits):
            assert await stage.tell(line, text) == "".join(map(str, digits.values()))
            wanted = {
                index: (digit, 0, int(truth), pixels[index].tobytes())
                for (index, digit), truth in zip(digits.items(), text, strict=True)
            }
            assert await stage.kept() == wanted
        else:
            with pytest.raises(InvalidRequestError, match=rf"answered has, {len(digits)}, got {len(text)}"):
                await stage.tell(line, text)
            assert await stage.kept() == {}


async def test_a_sign_takes_feedback_by_its_index_through_all_lines_and_corrects_a_text() -> None:
    async with staged() as stage:
        pixels = stage.answer([[3, 1], [None, 4, 5]])
        await stage.tell(1, "46")
        refused = await stage.feedback.give(Truth("r", 2, NO_DIGIT), CALLER, NO_DEADLINE)
        assert refused.refusal
        await stage.feedback.give(Truth("r", 4, 5), CALLER, NO_DEADLINE)
        await stage.tell(1, "47")  # the last one is the truth
        found = {
            index: (digit, bool(refusal), truth) for index, (digit, refusal, truth, _) in (await stage.kept()).items()
        }
        assert found == {2: (0, True, -1), 3: (4, False, 4), 4: (5, False, 7)}
        assert (await stage.kept())[4][3] == pixels[4].tobytes()


async def test_a_line_is_unknown_to_others_and_beyond_the_last() -> None:
    async with staged() as stage:
        stage.answer([[3, 1]])
        other = Caller("other", ApiKey("other", bytes(32), frozenset({"classify"}), 0, index=0))
        for line, caller, request_id in ((1, CALLER, "r"), (2**31 - 1, CALLER, "r"), (0, other, "r"), (0, CALLER, "s")):
            with pytest.raises(UnknownRequestError, match=f"line {line} of request {request_id} is not held"):
                await stage.tell(line, "31", caller, request_id)
        assert await stage.kept() == {}


async def test_a_line_whose_first_signs_have_made_room_is_unknown_and_the_next_one_is_known() -> None:
    async with staged(images=6) as stage:
        stage.answer([[1, 2, 3, 4], [5, 6, 7]])
        with pytest.raises(UnknownRequestError):
            await stage.tell(0, "1234")
        assert await stage.tell(1, "567") == "567"


async def test_the_longest_text_fits_and_costs_its_key_an_image_for_each_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    key = ApiKey("forms", bytes(32), frozenset({"classify"}), LONGEST_TEXT, index=0)
    async with staged() as stage:
        caller = Caller("forms", key, "r")
        stage.answer([[7] * LONGEST_TEXT], caller)
        for _ in range(2):  # a second ahead, and no more
            assert await stage.tell(0, "8" * LONGEST_TEXT, caller) == "7" * LONGEST_TEXT
        assert len(await stage.kept()) == LONGEST_TEXT <= CAPACITY
        with pytest.raises(RateLimitedError):
            await stage.tell(0, "9" * LONGEST_TEXT, caller)


async def test_a_line_that_is_not_on_the_disk_is_not_acknowledged() -> None:
    async with staged() as stage:
        stage.answer([[number % 10 for number in range(LONGEST_TEXT)]])
        with no_file_longer_than(64 * 1024), pytest.raises(StoreUnavailableError, match="full"):
            await stage.tell(0, "1" * LONGEST_TEXT)


async def test_a_reading_without_signs_and_a_recorder_without_feedback_take_nothing() -> None:
    async with staged() as stage:
        stage.recorder.add_lines(CALLER, np.zeros((0, 784), np.uint8), (), version=3)
        without = Recorder(stage.keeper, None, ["unsure"], 1.0, get_logger())
        without.add_lines(CALLER, np.zeros((1, 784), np.uint8), [line_of([7], [0])], version=3)
        with pytest.raises(UnknownRequestError):
            await stage.tell(0, "7")
