"""MODEL_CARD.md, written from metadata.json and nothing else, so that the two cannot disagree."""

from collections.abc import Mapping
from typing import Any

from training.evaluation.figures import ChangeFigures, DigitFigures, OtherSets, SetMetrics
from training.export.metadata import Adaptation, Cascade, Metadata
from training.export.model_card_text import (
    ADAPTED,
    CARD,
    CASCADE,
    CHOSEN,
    DERIVED,
    GIVEN,
    IN_INT8,
    LEARNED,
    OTHER_DATA,
    PRECISIONS,
    STAGES,
    TRAINING,
    WHAT,
)


def model_card(metadata: Metadata) -> str:
    """The card's whole text (Markdown)."""
    training, git = metadata["training"], metadata["git"]
    validation, test = metadata["metrics"]["mnist_validation"], metadata["metrics"]["mnist_test"]
    return CARD.format(
        **(_of_cascade(metadata, metadata["cascade"]) if "cascade" in metadata else _of_network(metadata)),
        train_images=training["train_images"],
        others=_others(training),
        other_data=OTHER_DATA if _learns_other_handwriting(training) else "",
        largest_refused_share=training["largest_refused_share"],
        spared=_spared(training),
        adapted=_adapted(metadata["adaptation"]) if "adaptation" in metadata else "",
        other_sets=_other_sets(metadata["other_sets"]) if "other_sets" in metadata else "",
        name=metadata["name"],
        version=metadata["version"],
        data=_rows(metadata["data"]),
        revision=git["revision"],
        dirty=" with uncommitted changes" if git["dirty"] else "",
        libraries=", ".join(f"{name} {version}" for name, version in metadata["libraries"].items()),
        validation_count=validation["images"],
        test_count=test["images"],
        figures=_figures(validation, test, test["accuracy_without_known_wrong_labels"]),
        validation_per_digit=_per_digit(validation),
        test_per_digit=_per_digit(test),
        novelty_threshold=metadata["novelty_threshold"],
        files=_rows(metadata["files"]),
    )


def _of_network(metadata: Metadata) -> dict[str, str]:
    """What the card says of a network that was trained."""
    training = metadata["training"]
    kind = LEARNED if _learns_novelty(training) else DERIVED
    filters = [
        str(each) for each, depth in zip(training["filters"], _depths(training), strict=True) for _ in range(depth)
    ]
    return {
        **kind,
        "what": WHAT.format(
            form=_form(training),
            convolutions=sum(_depths(training)),
            filters=", ".join(filters),
            dense_units=training["dense_units"],
            outputs=kind["outputs"],
            parameters=metadata["parameters"],
            multiply_adds=metadata["multiply_adds"],
            precision=PRECISIONS[metadata.get("precision", "float32")],
        ),
        "decided": (
            "temperature and\nthreshold. The test rows served for the figures below, and as inputs when the graph was"
            " compared with Keras."
        ),
        "training": TRAINING.format(
            **{key: value for key, value in training.items() if key != "started"},
            lessons=_lessons({**training, "start": ""} if "adaptation" in metadata else training),
            seeds=_seeds(training),
        ),
        "temperature": f"the temperature {metadata['temperature']:.4f}",
    }


def _of_cascade(metadata: Metadata, cascade: Cascade) -> dict[str, str]:
    """What the card says of two networks in one graph."""
    stages = {"fast": cascade["fast"], "second": cascade["second"]}
    named = {place: f"{each['name']}/{each['version']}" for place, each in stages.items()}
    rows = [
        f"| {place} | `{named[place]}` | `{each['git']['revision'][:12]}` | `{each['sha256']}` |"
        f" {each['temperature']:.4f} | {each['novelty_threshold']:.4f} |"
        for place, each in stages.items()
    ]
    return {
        **LEARNED,
        "what": CASCADE.format(
            **named,
            unsure_below=cascade["unsure_below"],
            parameters=metadata["parameters"],
            precision=PRECISIONS[metadata["precision"]],
            multiply_adds=metadata["multiply_adds"],
            unsure_share=cascade["unsure_share"],
            most=cascade["fast"]["multiply_adds"] + cascade["second"]["multiply_adds"],
        ),
        "decided": (
            "thresholds and\ntemperatures. The test rows served for the figures below alone; the graph was compared"
            " with its stages on\nvalidation rows."
        ),
        "training": STAGES.format(
            stages="\n".join(rows),
            threshold=(GIVEN if cascade.get("is_given") else CHOSEN).format(unsure_below=cascade["unsure_below"]),
            novelty_power=cascade["novelty_power"],
            in_int8=IN_INT8 if metadata["precision"] == "int8" else "",
        ),
        "temperature": "each stage's own temperature",
    }


def _figures(validation: SetMetrics, test: SetMetrics, trusted: float) -> str:
    def interval(metrics: SetMetrics) -> str:
        low, high = metrics["ece_interval"]
        return f"{metrics['ece']:.2%} ({low:.2%} to {high:.2%})"

    rows = [
        ("accuracy", f"{validation['accuracy']:.2%}", f"{test['accuracy']:.2%}"),
        ("accuracy without the 15 known wrong labels", "", f"{trusted:.2%}"),
        ("negative log-likelihood, nats", f"{validation['nll']:.4f}", f"{test['nll']:.4f}"),
        ("Brier score", f"{validation['brier']:.4f}", f"{test['brier']:.4f}"),
        ("expected calibration error, 15 bins", interval(validation), interval(test)),
        ("refused", f"{validation['refused']:.2%}", f"{test['refused']:.2%}"),
        (
            "accuracy of what is not refused",
            f"{validation['accuracy_of_answered']:.2%}",
            f"{test['accuracy_of_answered']:.2%}",
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _learns_novelty(training: Mapping[str, Any]) -> bool:
    return "novelty_weight" in training


def _others(training: Mapping[str, Any]) -> str:
    apart = ", by people who wrote none of the former," if training.get("split") == "writers" else ""
    return f"{training['validation_images']:,} others{apart}"


def _learns_other_handwriting(training: Mapping[str, Any]) -> bool:
    return bool(training.get("other_handwriting_images"))


def _depths(training: Mapping[str, Any]) -> list[int]:
    """Convolutions before each pooling."""
    return list(training.get("depths", ())) or [1] * len(training["filters"])


def _form(training: Mapping[str, Any]) -> str:
    columns = training.get("columns", 1)  # versions from before there were columns do not say
    return "" if columns == 1 else f"The mean of {columns} columns that look at the same image, each of "


def _seeds(training: Mapping[str, Any]) -> str:
    members = training.get("members", ())
    if not members:
        return f"seed {training['seed']}"
    text = "in all: each column is\na run of its own"
    lessons = {(each.get("epochs"), each.get("other_handwriting_images"), each.get("revision")) for each in members}
    if len(lessons) == 1:  # as in versions from before they could differ, which name none
        return f"{text}, with the seeds {', '.join(str(each['seed']) for each in members)}"
    return f"{text}, and where they differ the lines above are of the first:\n\n" + "\n".join(
        f"- seed {each['seed']}, data seed {each['data_seed']}, {each['epochs']} epochs,"
        f" {each['other_handwriting_images']} pictures of other handwriting in a batch, revision `{each['revision']}`"
        for each in members
    )


def _lessons(training: Mapping[str, Any]) -> str:
    """Text about training images other than distorted digits; begins at the end of the sentence on distortions."""
    text = f"; {training['wild']:.0%} of the\nimages by up to twice as much." if training.get("wild") else "."
    if training.get("degraded"):
        text += (
            f"\n{training['degraded']:.0%} of the images were also blurred, coarse, noisy, shaded, crossed out,"
            " broken or outlined."
        )
    if _learns_novelty(training):
        text += (
            f"\nEach batch had {training['synthetic_images']} synthesised pictures besides MNIST's: non-digits and"
            " printed digits (`training/synthetic`)."
        )
    if _learns_other_handwriting(training):
        text += f"\nEach batch had {training['other_handwriting_images']} pictures of other handwriting as well."
    if training.get("start"):
        text += f"\nTraining began with the weights of `{training['start']}`, as it is in this revision"
        share = training.get("interpolation", 1)
        text += (
            f",\nand the result lies at {share:.0%} of the way from these to the trained ones." if share < 1 else "."
        )
    if training.get("convolution_precision") == "bfloat16":
        text += (
            "\nWhile it was trained, its convolutions but the first multiplied in bfloat16; all weights are float32."
        )
    if training.get("teacher"):
        text += (
            f"\n{training['teacher_weight']:.0%} of the digits' loss came from the outputs of the runs"
            f" {training['teacher']}, the rest from MNIST's labels."
        )
    return text


def _spared(training: Mapping[str, Any]) -> str:
    """The threshold's second condition; only a learned novelty has one."""
    if not _learns_novelty(training) or "largest_refused_share_elsewhere" not in training:
        return ""
    share = training["largest_refused_share_elsewhere"]
    return f", and at most {share:.0%} of any one\nof their stand-ins for other populations"


def _other_sets(sets: OtherSets) -> str:
    """The figures of `report`, as a section of its own."""
    command = "report" if "corruptions" in sets else "adapt"
    lines = ["", "## Beyond MNIST", f"Measured by `python -m training {command}` on sets that trained nothing.", ""]
    lines += ["| pictures that are no digits | refused | AUROC of novelty |", "|---|---|---|"]
    for name, refusal in sets["refusal"].items():
        figures = f"{refusal['refused']:.1%} | " + (f"{refusal['auroc']['novelty']:.4f}" if refusal["auroc"] else "")
        lines.append(f"| {name} ({refusal['images']:,}) | {figures} |")
    lines += ["", "| digits, through the intake | accuracy | refused |", "|---|---|---|"]
    lines += [_digits_row(name, each) for name, each in sets["digits"].items()]
    lines += [_digits_row(f"{name}, made from validation rows", each) for name, each in sets["stand_ins"].items()]
    if "corruptions" not in sets:
        return "\n".join(lines) + "\n"
    lines += ["", f"Mean accuracy over the fifteen corruptions of MNIST-C, test rows: {sets['corruptions_mean']:.2%}"]
    lines.append("(" + ", ".join(f"{name} {share:.1%}" for name, share in sets["corruptions"].items()) + ").")
    return "\n".join(lines) + "\n"


def _adapted(adaptation: Adaptation) -> str:
    """What the version was adapted to, and what that changed, as a section of its own."""
    start = adaptation["start"]
    changes = {"own pictures, held out": adaptation["own"], **adaptation["populations"]}
    return ADAPTED.format(
        **adaptation,
        start_name=f"{start['name']}/{start['version']}",
        start_sha256=start["sha256"],
        none=adaptation["pictures"] - adaptation["digits"],
        changes="\n".join(
            _change_row(f"{name}: {measure}", each)
            for name, of_set in changes.items()
            for measure, each in of_set.items()
        ),
        written_anyway=(
            "\n**It was written in spite of what speaks against it** (`--anyway`):\n\n"
            + "\n".join(f"- {each}" for each in adaptation["objections"])
            + "\n"
            if adaptation["objections"]
            else ""
        ),
    )


def _change_row(name: str, figures: ChangeFigures) -> str:
    low, high = figures["interval"]
    shares = f"{figures['before']:.2%} | {figures['after']:.2%} | {100 * low:+.2f} to {100 * high:+.2f}"
    return f"| {name} ({figures['pictures']:,}) | {shares} |"


def _digits_row(name: str, figures: DigitFigures) -> str:
    return f"| {name} ({figures['images']:,}) | {figures['accuracy']:.2%} | {figures['refused']:.2%} |"


def _rows(values: dict[str, str]) -> str:
    return "\n".join(f"| `{name}` | `{value}` |" for name, value in values.items())


def _per_digit(metrics: SetMetrics) -> str:
    return " | ".join(f"{share:.2%}" for share in metrics["per_digit"])
