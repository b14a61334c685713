import os
from pathlib import Path

import pytest

from serving.host.cpu import may_use_gpu, usable_cpus, worker_count

HOST = len(os.sched_getaffinity(0))


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, HOST),
        ({"cpu.max": "max 100000\n"}, HOST),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "garbage\n"}, HOST),
        ({"cpu.max": "100000 0\n"}, HOST),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, HOST),
        ({"cpu.max": "6400000 100000\n"}, HOST),
    ],
)
def test_the_quota_caps_what_the_host_shows(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert usable_cpus(write(tmp_path, files)) == expected


@pytest.mark.parametrize("is_gpu_build", [True, False])
@pytest.mark.parametrize("has_driver", [True, False])
def test_a_gpu_needs_the_gpu_build_and_a_driver(tmp_path: Path, is_gpu_build: bool, has_driver: bool) -> None:
    if is_gpu_build:
        write(tmp_path, {"capi/libonnxruntime_providers_cuda.so": ""})
    if has_driver:
        write(tmp_path, {"nvidiactl": ""})
    assert may_use_gpu(tmp_path, [tmp_path / "dxg", tmp_path / "nvidiactl"]) == (is_gpu_build and has_driver)


@pytest.mark.parametrize(
    ("requested", "device", "expected"), [(3, "cuda", 3), (0, "cuda", 1), (0, "cpu", usable_cpus())]
)
def test_workers_are_as_many_as_processors_and_one_for_a_card(requested: int, device: str, expected: int) -> None:
    assert worker_count(requested, device) == expected
