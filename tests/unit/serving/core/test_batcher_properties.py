"""Whatever happens, and in whatever order: every caller gets exactly one answer, its own.

Hypothesis makes the schedules: callers come (some too large for one batch, some late), leave and lose patience, time
passes, batches end well or badly, and the batcher is closed in the middle of it. No schedule waits for a clock.
"""

import asyncio
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ExpiredError, NotReadyError
from serving.predictions import Predictions
from tests.support.batcher_schedule import (
    FOREVER,
    Action,
    Arrive,
    Caller,
    Close,
    EndBatch,
    Leave,
    Schedule,
    Stage,
    Tick,
    Turn,
    played,
)
from tests.support.examples import examples
from tests.support.numbered_model import BatchFailedError, Verdict, numbers_answered

patiences = st.sampled_from([FOREVER] * 8 + [0.0, 1.0, 2.0, 4.0])
arrivals = st.builds(Arrive, st.sampled_from([1, 2, 3, 5, 9, 14]), patiences)
# These come in one turn, and small enough to share a batch.
crowds = st.lists(st.builds(Arrive, st.sampled_from([1, 1, 1, 2]), patiences), min_size=2, max_size=6)
departures = st.builds(Leave, st.integers(0, 11))
ticks = st.builds(Tick, st.sampled_from([1.0, 2.0]))
turns = st.builds(Turn, st.integers(1, 4))
one_by_one: list[st.SearchStrategy[Action]] = [arrivals, departures, departures, ticks, turns, turns]
steps = st.one_of(crowds, crowds, crowds, *(st.tuples(one) for one in (*one_by_one, st.just(EndBatch()))))
verdicts = st.lists(st.sampled_from([Verdict.ANSWERS, Verdict.ANSWERS, Verdict.ANSWERS, *Verdict]), max_size=20)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    acts: list[Action] = list(chain.from_iterable(draw(st.lists(steps, min_size=1, max_size=25))))
    if draw(st.sampled_from([False, False, True])):
        acts.insert(draw(st.integers(len(acts) // 2, len(acts))), Close())
    return Schedule(
        acts,
        draw(verdicts),
        largest=draw(st.sampled_from([8, 4, 6, 3, 2, 1])),
        delay=draw(st.sampled_from([0.0, 2.0])),
    )


def check_end(caller: Caller, stage: Stage) -> None:
    """One end, and one that the caller's fate explains."""
    end = caller.end
    is_split = len(caller.numbers) > stage.schedule.largest
    if caller.has_left:
        assert isinstance(end, asyncio.CancelledError) or (is_split and stage.has_failed_part(caller))
    match end:
        case asyncio.CancelledError():
            assert caller.has_left
        case Predictions():
            assert numbers_answered(end) == caller.numbers
            assert 1 <= end.batch_images <= stage.schedule.largest
        case NotReadyError():
            assert caller.came_after_close
        case ExpiredError():
            assert caller.deadline <= caller.ended_at
        case BatchFailedError():
            assert set(end.numbers) <= set(caller.numbers), "failed by another's images"
        case RuntimeError():
            assert str(end).startswith("the model answered")
            assert stage.has_failed_part(caller)
        case _:
            raise AssertionError(f"{caller} may not end so")
    assert isinstance(end, NotReadyError) or caller.has_left or not caller.came_after_close


def check_batches(stage: Stage) -> None:
    """None too large, first come first served; an image runs once, or once more, alone, after its batch has failed."""
    assert all(1 <= len(batch) <= stage.schedule.largest for batch in stage.formed)
    assert stage.formed == [ran.numbers for ran in stage.model.ran]
    assert max(Counter(chain.from_iterable(stage.formed)).values(), default=0) <= 2
    first_seen = list(dict.fromkeys(chain.from_iterable(stage.formed)))
    assert first_seen == sorted(first_seen)
    answered = [number for ran in stage.model.ran if ran.verdict is Verdict.ANSWERS for number in ran.numbers]
    assert len(answered) == len(set(answered))


def check_metrics(stage: Stage) -> None:
    samples = [sample for family in stage.metrics.registry.collect() for sample in family.samples]
    value = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert stage.batcher.is_idle
    assert stage.batcher.queued_images == 0
    assert value["mnist_inference_seconds_count",] == len(stage.model.ran)
    answered = sum(len(ran.numbers) for ran in stage.model.ran if ran.verdict is Verdict.ANSWERS)
    assert value["mnist_batch_size_sum",] == answered
    assert sum(value["mnist_predictions_total", str(digit)] for digit in range(10)) == answered

    # A caller larger than the largest batch counts once for each of its parts.
    seen = stage.finished_numbers()
    fewest = {"expired": 0, "abandoned": 0}
    dropped = 0
    for caller in stage.callers:
        parts = caller.numbers[:: stage.schedule.largest] if caller.was_accepted else []
        not_run = sum(number not in seen for number in parts)
        dropped += not_run
        if isinstance(caller.end, ExpiredError):
            fewest["expired"] += not_run if len(parts) == 1 else 1
        elif caller.deadline > stage.clock.now:
            fewest["abandoned"] += not_run
    counted = {reason: value["mnist_dropped_total", reason] for reason in fewest}
    assert sum(counted.values()) == dropped
    assert all(counted[reason] >= fewest[reason] for reason in fewest)


def check(stage: Stage) -> None:
    for caller in stage.callers:
        check_end(caller, stage)
    check_batches(stage)
    check_metrics(stage)


@pytest.mark.parametrize("kind", ["loop", "stepped"])
@examples(200)
@given(schedule=schedules())
def test_every_caller_gets_exactly_one_answer_its_own(kind: str, schedule: Schedule) -> None:
    check(played(kind, schedule))


@examples(100)  # each starts a thread
@given(schedule=schedules())
def test_on_a_thread_too_every_caller_gets_exactly_one_answer_its_own(schedule: Schedule) -> None:
    check(played("thread", schedule))
