"""Recent images in shared memory: what is found, what has made room, and whose is whose."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.store.memory import RecentMemory
from serving.store.recent import RecentImages
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
