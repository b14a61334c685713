"""A version that fails a check is refused and reported, and the served one goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serving.errors import ModelRejectedError
from tests.support.changing_repository import (
    POLL,
    callers,
    changed_after_it_was_described,
    metric,
    model,
    until,
)
from tests.support.servers import StartServer
from tests.support.tiny_model import rewrite_metadata, slow_graph, tiny_graph, write_tiny_version


def truncated(folder: Path) -> None:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    rewrite_metadata(folder, 2)


def of_another_shape(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(tiny_graph("picture"))
    rewrite_metadata(folder, 2)


def that_answers_nan(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(tiny_graph(weight=float("nan")))
    rewrite_metadata(folder, 2)


def that_reads_other_digits(folder: Path) -> None:
    with np.load(folder / "golden.npz") as golden:
        arrays = dict(golden)
    np.savez(folder / "golden.npz", **arrays | {"digit": (arrays["digit"] + 1) % 10})
    rewrite_metadata(folder, 2)


def that_is_slow(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(slow_graph())
    rewrite_metadata(folder, 2)


def without_its_golden_answers(folder: Path) -> None:
    (folder / "golden.npz").unlink()


def of_another_number(folder: Path) -> None:
    rewrite_metadata(folder, 7)


def with_no_json(folder: Path) -> None:
    (folder / "metadata.json").write_text("{")


BROKEN = [
    (truncated, "graph"),
    (changed_after_it_was_described, "checksum"),
    (of_another_shape, "graph"),
    (that_answers_nan, "golden"),
    (that_reads_other_digits, "golden"),
    (that_is_slow, "slow"),
    (without_its_golden_answers, "unreadable"),
    (of_another_number, "metadata"),
    (with_no_json, "metadata"),
]


@pytest.mark.parametrize(("break_it", "check"), BROKEN, ids=[each.__name__ for each, _ in BROKEN])
async def test_version_that_fails_a_check_is_refused_and_reported_and_the_old_one_goes_on(
    break_it: Callable[[Path], None], check: str, start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    aside = write_tiny_version(tmp_path / "aside", 2)
    break_it(aside)
    async with start_server(model_repository=repository, **POLL) as server, callers(server) as calls:
        aside.rename(repository / "mnist" / "2")  # at once: a copy may be looked at in the middle on a slow machine
        description = await until(server, lambda description: bool(description.refused_versions))
        assert (description.version, list(description.served_versions)) == (1, [1])
        (refused,) = description.refused_versions
        assert (refused.version, refused.check) == (2, check)
        assert str(repository / "mnist" / "2") in refused.reason or check == "slow"
        assert await metric(server, 'mnist_model_refused_info{check="' + check + '",version="2"} 1.0')
        assert await metric(server, 'mnist_model_loads_total{outcome="' + check + '"} 1.0')
        # Made whole, it is served.
        shutil.rmtree(repository / "mnist" / "2")
        write_tiny_version(repository, 2)
        description = await until(server, lambda description: description.version == 2)
        assert list(description.refused_versions) == []
    assert calls.failures == []


async def test_a_version_is_not_tried_while_it_is_copied(
    start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    whole = write_tiny_version(tmp_path / "aside", 2)
    copy = repository / "mnist" / "2"
    async with start_server(model_repository=repository, **POLL) as server:
        copy.mkdir()
        content = (whole / "model.onnx").read_bytes()
        shutil.copy(whole / "metadata.json", copy)
        shutil.copy(whole / "golden.npz", copy)
        with (copy / "model.onnx").open("wb") as file:
            for start in range(0, len(content), 2048):  # grows at every look, as files do that are copied
                file.write(content[start : start + 2048])
                file.flush()
                await model(server)
        description = await until(server, lambda description: description.version == 2)
        assert list(description.refused_versions) == []


async def test_what_is_broken_from_the_start_is_passed_over_for_an_older_version(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(write_tiny_version(repository, 2))
    async with start_server(model_repository=repository) as server:
        description = await model(server)
        assert (description.version, description.refused_versions[0].check) == (1, "checksum")


async def test_nothing_good_at_the_start_is_an_error_that_names_the_check(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(repository / "mnist" / "1")
    with pytest.raises(ModelRejectedError, match=r"says .*: the file was changed") as raised:
        async with start_server(model_repository=repository):
            pass
    assert raised.value.check == "checksum"


async def test_refused_version_is_no_longer_reported_once_a_newer_one_is_served(
    start_server: StartServer, repository: Path
) -> None:
    changed_after_it_was_described(write_tiny_version(repository, 2))
    async with start_server(model_repository=repository, **POLL) as server:
        assert [each.version for each in (await model(server)).refused_versions] == [2]
        write_tiny_version(repository, 3)
        await until(server, lambda description: description.version == 3 and not description.refused_versions)
        assert not await metric(server, 'mnist_model_refused_info{check="checksum",version="2"}')
