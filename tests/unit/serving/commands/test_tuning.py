import pytest

from serving.commands.tuning import SIZES, Curve, Picked, pick, table


def curve(precision: str, threads: int, images_per_second: float, seconds_per_batch: float = 0.0) -> Curve:
    """So long for a batch, and so long for each of its images."""
    return Curve(precision, threads, tuple(seconds_per_batch + size / images_per_second for size in SIZES))


def test_the_largest_batch_is_no_larger_than_pays() -> None:
    assert pick([curve("float32", 1, 16_000)]).max_batch_size == 32  # 65 us of 2 ms: 3 %
    assert pick([curve("float32", 1, 100_000)]).max_batch_size == 256


def test_no_batch_keeps_others_waiting_longer_than_ten_milliseconds() -> None:
    assert pick([curve("float32", 1, 10_000, seconds_per_batch=0.003)]).max_batch_size == 64  # 9.4 ms; 128: 15.8


def test_where_even_one_image_takes_longer_it_is_run_alone() -> None:
    assert pick([curve("float32", 1, 10)]).max_batch_size == 1


@pytest.mark.parametrize(("gain", "precision"), [(1.04, "float32"), (1.06, "int8"), (0.5, "float32")])
def test_int8_must_be_worth_it(gain: float, precision: str) -> None:
    curves = [curve("float32", 1, 10_000), curve("int8", 1, 10_000 * gain)]
    assert pick(curves).precision == pick(curves[::-1]).precision == precision


@pytest.mark.parametrize(("gain", "threads"), [(1.04, 1), (1.5, 2)])
def test_threads_must_be_worth_it(gain: float, threads: int) -> None:
    curves = [curve("float32", 1, 10_000), curve("float32", 2, 10_000 * gain)]
    assert pick(curves).inference_threads == pick(curves[::-1]).inference_threads == threads


def test_a_largest_batch_that_is_given_decides_what_is_picked() -> None:
    quick_alone = curve("float32", 1, 10_000)
    quick_in_crowds = curve("int8", 1, 100_000, seconds_per_batch=0.001)
    assert pick([quick_alone, quick_in_crowds]).precision == "int8"
    assert pick([quick_alone, quick_in_crowds], max_batch_size=1) == Picked("float32", 1, 1)


@pytest.mark.parametrize("size", [1, 5, 16, 256, 4096])
def test_a_largest_batch_that_is_given_stays_even_where_a_smaller_one_would_do(size: int) -> None:
    slow_in_crowds = Curve("float32", 1, (0.001, *(0.1 * images for images in SIZES[1:])))
    assert pick([slow_in_crowds], max_batch_size=size).max_batch_size == size


def test_the_table_shows_every_size_of_every_curve_and_what_was_picked() -> None:
    lines = table([curve("float32", 1, 10_000), curve("int8", 2, 20_000)], Picked("int8", 2, 64)).splitlines()
    assert lines[0].split("  ")[-1].strip() == "int8, 2 threads"
    assert [int(line.split()[0]) for line in lines[1:-1]] == list(SIZES)
    assert lines[1].split() == ["1", "100", "us", "6,061/s", "50", "us", "8,696/s"]
    assert lines[-1] == "picked: int8, 2 threads, batches of up to 64 images"


@pytest.mark.parametrize(("cpu_workers", "device"), [(1, "cuda"), (4, "cuda"), (16, "cpu")])
def test_a_card_must_be_worth_more_than_all_the_workers_that_would_serve_on_the_cpu(
    cpu_workers: int, device: str
) -> None:
    on_cpu = curve("float32", 1, 10_000)
    on_card = Curve("float32", 1, curve("float32", 1, 100_000).seconds, "cuda")
    picked = pick([on_cpu, on_card], card="Some Card", cpu_workers=cpu_workers)
    assert (picked.device, picked.card) == (device, "Some Card" if device == "cuda" else "")
    assert f"--device {device} " in picked.flags


def test_the_table_names_the_card() -> None:
    on_card = Curve("float32", 1, curve("float32", 1, 100_000).seconds, "cuda")
    lines = table([on_card], Picked("float32", 1, 64, "cuda", "Some Card")).splitlines()
    assert lines[-1] == "picked: float32, Some Card, batches of up to 64 images"
