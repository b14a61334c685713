"""Recent images in shared memory: what is found, what has made room, and whose is whose."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.store.memory import RecentMemory
from serving.store.recent import Lines, RecentImages
from tests.support.answered import images_of, predictions_for


@pytest.fixture
def memory() -> Iterator[RecentMemory]:
    opened = RecentMemory(images=8, workers=1)
    yield opened
    opened.close()


@pytest.mark.parametrize("digits", [[7], [1, 2, 3]])
def test_an_image_is_found_with_its_answer(memory: RecentMemory, digits: list[int]) -> None:
    images = RecentImages(memory.place)
    images.add("key", "id", images_of(digits), predictions_for(digits))
    for index, digit in enumerate(digits):
        found = images.find("key", "id", index)
        assert found
        assert (found.digit, found.version, found.refusal) == (digit, 3, 0)
        assert found.probability == pytest.approx(0.91)
        assert found.novelty == pytest.approx(0.5 * (index + 1) / len(digits))
        assert found.pixels == images_of(digits)[index].tobytes()
    assert images.find("key", "id", len(digits)) is None
    assert images.find("other", "id", 0) is None
    assert images.find("key", "other", 0) is None
    assert images.find("ke", "yid", 0) is None


def test_an_id_that_is_used_again_means_the_last_request(memory: RecentMemory) -> None:
    images = RecentImages(memory.place)
    for digits in ([4], [5, 6], [7]):
        images.add("", "again", images_of(digits), predictions_for(digits))
    found, second = images.find("", "again", 0), images.find("", "again", 1)
    assert found
    assert second
    assert (found.digit, second.digit) == (7, 6)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_the_last_images_are_held_and_no_others(sizes: list[int]) -> None:
    memory = RecentMemory(images=8, workers=1)
    try:
        images = RecentImages(memory.place)
        sent = []
        for number, size in enumerate(sizes):
            digits = [index % 10 for index in range(size)]
            images.add("key", str(number), images_of(digits), predictions_for(digits))
            sent += [(str(number), index) for index in range(size)]
        held = [each for each in sent if (found := images.find("key", *each)) and found.pixels[0] == each[1]]
        assert held == sent[-8:]
        images.close()
    finally:
        memory.close()


def test_processes_write_parts_of_their_own_and_read_all() -> None:
    memory = RecentMemory(images=4, workers=2)
    try:
        first, second = RecentImages(memory.place), RecentImages(memory.place)
        for number in range(10):  # more than the part of one holds
            first.add("", f"first-{number}", images_of([1]), predictions_for([1]))
        second.add("", "second", images_of([2]), predictions_for([2]))
        for images in (first, second):
            assert images.find("", "first-9", 0)
            assert images.find("", "second", 0)
        second.close()
        third = RecentImages(memory.place)
        assert third.find("", "second", 0)  # a worker that has ended took nothing with it
        third.add("", "third", images_of([3]), predictions_for([3]))
        assert first.find("", "third", 0)
        first.close()
        third.close()
    finally:
        memory.close()


def test_without_a_part_nothing_is_taken_until_one_is_free() -> None:
    memory = RecentMemory(images=2, workers=1)
    try:
        first, second = RecentImages(memory.place), RecentImages(memory.place)
        first.add("", "a", images_of([1]), predictions_for([1]))
        second.add("", "b", images_of([2]), predictions_for([2]))
        assert first.find("", "b", 0) is None
        first.close()
        second.add("", "c", images_of([3]), predictions_for([3]))
        assert second.find("", "c", 0)
        second.close()
    finally:
        memory.close()


def lines_of(signs: list[int]) -> Lines:
    """Places of the signs of lines with so many signs each."""
    return np.array([(line, count) for line, count in enumerate(signs) for _ in range(count)], np.uint16).reshape(-1, 2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.integers(1, 6), max_size=4)), min_size=1, max_size=12))
def test_a_line_is_found_whole_while_all_its_signs_are_held_and_else_not(readings: list[tuple[str, list[int]]]) -> None:
    memory = RecentMemory(images=8, workers=1)
    try:
        images = RecentImages(memory.place)
        last: dict[str, tuple[int, list[int], list[int]]] = {}  # by id: signs before it, digits, signs of each line
        written = 0
        for number, (request_id, signs) in enumerate(readings):
            digits = [(number + index) % 10 for index in range(max(1, sum(signs)))]
            lines = lines_of(signs) if sum(signs) else None  # an image on no line
            images.add("key", request_id, images_of(digits), predictions_for(digits), lines)
            last[request_id] = written, digits, signs
            written += len(digits)
        for request_id, (before, digits, signs) in last.items():
            for line in range(len(signs) + 1):
                first = sum(signs[:line])
                wanted = list(range(first, first + sum(signs[line : line + 1])))
                if wanted and before + first < written - 8:
                    wanted = []  # its first signs have made room
                found = images.find_line("key", request_id, line)
                assert list(found) == wanted
                assert [sign.digit for sign in found.values()] == [digits[index] for index in wanted]
                assert [sign.pixels[1] for sign in found.values()] == [digits[index] for index in wanted]
                assert images.find_line("other", request_id, line) == {}
        images.close()
    finally:
        memory.close()


def test_a_line_is_found_while_a_sign_of_another_one_is_being_overwritten(memory: RecentMemory) -> None:
    images = RecentImages(memory.place)
    images.add("key", "id", images_of([1, 2, 3]), predictions_for([1, 2, 3]), lines_of([2, 1]))
    images._keys[2, 1] = 0  # the state in which a writer leaves the third sign's slot for a moment
    images._rows["time"][2] += 5
    assert list(images.find_line("key", "id", 0)) == [0, 1]
    assert images.find_line("key", "id", 1) == {}
    images.close()


def test_a_line_that_is_being_overwritten_is_never_found_mixed() -> None:
    memory = RecentMemory(images=32, workers=1)
    try:
        images = RecentImages(memory.place)

        def write() -> None:
            for number in range(2000):
                digits = [number % 10] * 20
                images.add("", "again", images_of(digits), predictions_for(digits), lines_of([20]))

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not writing.done():
                signs = images.find_line("", "again", 0)
                assert len({sign.digit for sign in signs.values()} | {sign.pixels[1] for sign in signs.values()}) <= 1
                assert len(signs) in (0, 20)
            writing.result()
        assert len(images.find_line("", "again", 0)) == 20
        images.close()
    finally:
        memory.close()
