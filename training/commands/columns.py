"""Trains the column network: strips, fit, what it reads of other writers, graph."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from training.columns.fit import fit
from training.columns.graph import check, columns_model
from training.columns.network import network_from_weights
from training.columns.pictures import Sources, by_writer
from training.columns.reading import Share, read_whole
from training.columns.run import ColumnsRun, begin
from training.columns.signs import Sign, signs
from training.columns.strips import StripSet, kept_strips
from training.commands.data import console, load_data, run_folder, say
from training.config import Places, TrainingConfig
from training.data import writers
from training.data.mnist import CHECKSUMS, Mnist
from training.data.other_handwriting.omniglot import TRAINING_ALPHABETS, VALIDATION_ALPHABETS, load_omniglot
from training.data.preprocessing import strips_of_pictures
from training.data.split import validation_writers
from training.files import write_atomically
from training.fit.run_folder import RunFolder
from training.synthetic.fonts import load_faces
from training.synthetic.scribbles import scribble

_TRAIN, _VALIDATION = 0, 1  # parts of seeds


def train_columns(
    places: Places, run: str, settings: Mapping[str, Any], resume: bool, restart: bool, output: Path | None
) -> None:
    """Draw strips, fit, measure and write; what is there of a run that is resumed is not done again.

    Raises:
        RunError: the run may not begin, or there is none to go on with.
        ExportError: the graph does not give what Keras gives.
    """
    folder, mnist = run_folder(places, run), load_data(places)
    record = begin(folder, settings, resume, restart)
    try:
        train, validation = _strips(places, folder, record, mnist)
        if not folder.is_finished:
            fit(folder, record.config, train, validation, console)
    except KeyboardInterrupt:
        say(f"\nGo on with: python -m training columns --resume --run {folder.name}")
        raise
    weights = folder.read_weights()
    network = network_from_weights(weights)
    read = read_whole(network, validation)
    model = columns_model(weights, _properties(record, read)).SerializeToString()
    difference = check(model, network, validation)
    Console().print(_table(read))
    path = output or folder.path / "columns.onnx"
    write_atomically(path, model)
    say(f"checked: valid ONNX; ONNX Runtime agrees with Keras (largest difference {difference:.1e})")
    say(f"written: {path}. For the server to use it, copy it to serving/models/columns.onnx")


def _strips(places: Places, folder: RunFolder, record: ColumnsRun, mnist: Mnist) -> tuple[StripSet, StripSet]:
    """Strips to train on, and strips by others: writers of MNIST's validation rows, other fonts, other alphabets."""
    split = TrainingConfig()
    held_out = validation_writers(mnist, split.validation_images, split.split_seed)
    writer = writers.load_writers().writer[: len(mnist.train)]
    is_held_out = np.isin(writer, held_out)
    made = []
    characters = load_omniglot()
    for part, name, rows, alphabets, count in (
        (_TRAIN, "strips", ~is_held_out, TRAINING_ALPHABETS, record.config.strips),
        (_VALIDATION, "validation strips", is_held_out, VALIDATION_ALPHABETS, record.config.validation_strips),
    ):
        draw_sign: Sign = scribble  # never drawn where no strip is a sign: then no font is needed
        if record.config.signs:
            faces = load_faces(places.cache, "train" if part == _TRAIN else "validation", say)
            draw_sign = signs(faces, characters.of(alphabets))
        numbers = np.flatnonzero(rows)
        made.append(
            kept_strips(
                folder.path / name.replace(" ", "-"),
                Sources(by_writer(mnist.train.take(numbers), writer[numbers]), draw_sign, record.config.signs),
                count,
                [record.config.seed, part],
                strips_of_pictures,
                lambda drawn, name=name, count=count: say(f"{drawn:,} of {count:,} {name} drawn"),  # type: ignore[misc]  # mypy cannot infer a lambda's defaults
            )
        )
    return made[0], made[1]


def _properties(record: ColumnsRun, read: Mapping[int, Share]) -> dict[str, str]:
    """Text that travels in the file: how the network was trained, on what, and what it reads."""
    made = {"started": record.started, "processor": record.processor, "libraries": dict(record.libraries)}
    texts = {
        "training": {**dataclasses.asdict(record.config), **made},
        "data": {**CHECKSUMS, "writers.npz": writers.SHA256},
        "validation": {f"{count} digits": dataclasses.asdict(share) for count, share in read.items()},
    }
    revision = record.git.revision + ("+changes" if record.git.dirty else "")
    return {"git_revision": revision, **{name: json.dumps(text) for name, text in texts.items()}}


def _table(read: Mapping[int, Share]) -> Table:
    table = Table("digits", "strips", "read whole", title="Strips by writers who train nothing")
    for count, share in read.items():
        table.add_row(str(count), f"{share.strips:,}", f"{share.share:.2%}")
    everything = Share(sum(each.right for each in read.values()), sum(each.strips for each in read.values()))
    table.add_row("all", f"{everything.strips:,}", f"{everything.share:.2%}")
    return table
