"""A committee answers with the mean of its members' logits, and takes only runs of one kind of network."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.tiny_training import TINY
from training.data.arrays import LabelledDigits
from training.environment import GitState
from training.errors import RunError
from training.fit.committee import join
from training.fit.run_folder import Member, RunFolder, RunRecord
from training.network.architecture import build_network, network_from_weights, network_weights
from training.network.folding import fold
from training.network.outputs import network_outputs

HISTORY = [{"epoch": 1, "loss": 0.5, "seconds": 2.0}, {"epoch": 2, "loss": 0.25, "seconds": 3.0}]


def finished(
    folder: Path, name: str, seed: int, revision: str = "a" * 40, *, dirty: bool = False, **settings: Any
) -> RunFolder:
    """A run with random weights, as if it had been trained."""
    run = RunFolder(folder / name)
    config = dataclasses.replace(TINY, seed=seed, data_seed=seed, **settings)
    run.path.mkdir()
    run.write_record(RunRecord(config, GitState(revision, dirty=dirty), {"keras": "3"}, "a processor", "today"))
    run.write_json("history.json", HISTORY)
    keras.utils.set_random_seed(seed)
    run.write_weights(network_weights(build_network(config)))
    return run


def test_a_committee_answers_with_the_mean_of_its_members(tmp_path: Path, digits: LabelledDigits) -> None:
    members = [finished(tmp_path, f"member-{seed}", seed) for seed in (1, 2, 3)]
    committee = RunFolder(tmp_path / "committee")
    committee.path.mkdir()
    record = join(committee, members)

    assert committee.read_record() == record
    others = TINY.other_handwriting_images
    assert record.members == tuple(
        Member(f"member-{seed}", seed, seed, TINY.epochs, others, "a" * 40) for seed in (1, 2, 3)
    )
    pixels = digits.pixels[:20]
    alone = [network_outputs(network_from_weights(TINY, each.read_weights()), pixels) for each in members]
    together = network_outputs(network_from_weights(record.config, committee.read_weights()), pixels)
    np.testing.assert_allclose(together.logits, np.mean([each.logits for each in alone], axis=0), atol=1e-5)
    assert np.ptp([each.logits for each in alone], axis=0).max() > 0.1  # else a mean of equals proves nothing
    assert len(fold(committee.read_weights()).columns) == len(members)
    assert json.loads((committee.path / "history.json").read_text())[1] == {"epoch": 2, "loss": 0.25, "seconds": 9.0}


def test_members_may_differ_in_length_and_other_handwriting(tmp_path: Path) -> None:
    members = [
        finished(tmp_path, "one", 1),
        finished(tmp_path, "other", 1, epochs=3, other_handwriting_images=7, revision="b" * 40),
    ]
    members[1].write_json("history.json", [*HISTORY, {"epoch": 3, "loss": 0.125, "seconds": 4.0}])
    committee = RunFolder(tmp_path / "committee")
    committee.path.mkdir()
    record = join(committee, members)
    assert record.members[1] == Member("other", 1, 1, 3, 7, "b" * 40)
    assert not record.git.dirty
    history = json.loads((committee.path / "history.json").read_text())
    assert [(row["epoch"], row["seconds"]) for row in history] == [(1, 4.0), (2, 6.0), (3, 4.0)]


def test_a_committee_with_a_member_of_no_clean_revision_has_none(tmp_path: Path) -> None:
    members = [finished(tmp_path, "one", 1), finished(tmp_path, "other", 2, dirty=True)]
    committee = RunFolder(tmp_path / "committee")
    committee.path.mkdir()
    assert join(committee, members).git.dirty


def test_a_committee_from_before_its_members_could_differ_is_read(tmp_path: Path) -> None:
    run = finished(tmp_path, "committee", 1)
    former = json.loads((run.path / "run.json").read_text())
    run.write_json("run.json", {**former, "members": [{"run": "one", "seed": 2, "data_seed": 3}]})
    others = TINY.other_handwriting_images
    assert run.read_record().members == (Member("one", 2, 3, TINY.epochs, others, "a" * 40),)


def test_runs_of_other_kinds_do_not_join(tmp_path: Path) -> None:
    members = [finished(tmp_path, "one", 1), finished(tmp_path, "other", 2, dropout=0.1)]
    with pytest.raises(
        RunError, match="'one' and 'other' differ in more than seed, data_seed, epochs, other_handwriting_images"
    ):
        join(RunFolder(tmp_path / "committee"), members)


@pytest.mark.parametrize("names", [["one"], ["one", "one"]], ids=["one alone", "one twice"])
def test_a_committee_has_several_members(tmp_path: Path, names: list[str]) -> None:
    finished(tmp_path, "one", 1)
    with pytest.raises(RunError, match="two or more finished runs, each once"):
        join(RunFolder(tmp_path / "committee"), [RunFolder(tmp_path / name) for name in names])


def test_a_committee_does_not_join_another(tmp_path: Path) -> None:
    columns = [finished(tmp_path, name, seed, columns=2) for seed, name in enumerate(("one", "other"))]
    with pytest.raises(RunError, match="'one' has 2 columns already"):
        join(RunFolder(tmp_path / "committee"), columns)


def test_an_unfinished_run_does_not_join(tmp_path: Path) -> None:
    members = [finished(tmp_path, "one", 1), finished(tmp_path, "other", 2)]
    members[1].weights.unlink()
    with pytest.raises(RunError, match="'other' is not finished"):
        join(RunFolder(tmp_path / "committee"), members)
    assert not (tmp_path / "committee").exists()
