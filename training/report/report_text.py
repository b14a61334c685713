"""The report as text (Markdown), made from the figures and nothing else."""

import statistics
from collections.abc import Mapping, Sequence

from training.report.evaluation_data import FITTED_ROWS
from training.report.measurement import ModelFigures, OtherHandwriting
from training.report.refusal import SHARE_OF_DIGITS
from training.report.seeds import SeedFigures

_HEAD = """\
# Report

Every figure here was measured by `python -m training report` from the ONNX files and the data: {made}.
Shares are of images; AUROC is how often a random picture of the set is stranger than a random MNIST test digit.
"""
_REFUSAL = """\
## Refusal
Refused is what the shipped threshold refuses; *at an equal share* what that threshold refuses which refuses {share:.1%}
of MNIST's test digits, another one for each model. Feature distance is the Mahalanobis distance of the hidden layer to
the nearest digit's mean, with one covariance for all digits, fitted on {fitted:,} of MNIST's training rows.

"""


def report_text(
    models: Sequence[ModelFigures], seeds: Mapping[str, SeedFigures], missing: Mapping[str, str], made: str
) -> str:
    """The whole text; `made` says when and where."""
    parts = [_HEAD.format(made=made), _mnist(models)]
    if seeds:
        parts.append(_seeds(seeds))
    parts.append(_corruptions(models))
    if models[0]["other_sets"]["refusal"]:
        parts.append(_refusal(models))
    parts.append(_other_digits(models))
    if missing:
        parts.append("## Missing\n" + "\n".join(f"- {what}: {why}" for what, why in missing.items()))
    return "\n".join(parts) + "\n"


def other_handwriting_text(models: Mapping[str, Mapping[str, OtherHandwriting]]) -> str:
    """A table of the figures on other people's handwriting, by the name of the model."""
    rows = []
    for name, figures in models.items():
        for kind, each in figures.items():
            accuracy = "" if each["accuracy"] is None else f"{each['accuracy']:.2%}"
            rows.append([name, f"{kind} ({each['images']:,})", accuracy, f"{each['refused']:.2%}"])
    return table(["model", "set", "accuracy", "refused"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _mnist(models: Sequence[ModelFigures]) -> str:
    def row(name: str, form: str, *keys: str) -> list[str]:
        return [name, *(form.format(*(model["metrics"]["mnist_test"][key] for key in keys)) for model in models)]  # type: ignore[literal-required]  # all are keys

    def interval(model: ModelFigures) -> str:
        test, chance = model["metrics"]["mnist_test"], model["ece_by_chance"]["mnist_test"]
        low, high = test["ece_interval"]
        verdict = "cannot be told from 0" if test["ece"] <= chance else "more than chance"
        return f"{test['ece']:.3%} ({low:.3%} to {high:.3%}; chance alone up to {chance:.3%}: {verdict})"

    rows = [
        ["version, precision", *(f"{model['version']}, {model['precision']}" for model in models)],
        ["parameters", *(f"{model['parameters']:,}" for model in models)],
        ["multiply-adds", *(f"{model['multiply_adds']:,}" for model in models)],
        ["file, bytes", *(f"{model['bytes']:,}" for model in models)],
        row("accuracy, test", "{:.2%}", "accuracy"),
        row("without the 15 known wrong labels", "{:.2%}", "accuracy_without_known_wrong_labels"),
        ["accuracy, validation", *(f"{model['metrics']['mnist_validation']['accuracy']:.2%}" for model in models)],
        row("negative log-likelihood, nats", "{:.4f}", "nll"),
        row("Brier score", "{:.4f}", "brier"),
        ["expected calibration error", *(interval(model) for model in models)],
        row("true digits refused", "{:.2%}", "refused"),
        row("accuracy of the others", "{:.2%}", "accuracy_of_answered"),
    ]
    return "## MNIST\n" + table(["", *(model["name"] for model in models)], rows)


def _seeds(seeds: Mapping[str, SeedFigures]) -> str:
    rows = []
    for recipe, runs in seeds.items():
        accuracies = runs["test_accuracy"]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        rows.append(
            [
                recipe,
                f"{statistics.mean(accuracies):.3%} ± {spread:.3%}",
                ", ".join(f"{each:.2%}" for each in accuracies),
                f"{statistics.mean(runs['test_nll']):.4f}",
                f"{statistics.mean(runs['validation_accuracy']):.2%}",
            ]
        )
    head = ["recipe", "test accuracy, mean and deviation", "each seed", "loss, mean", "validation, mean"]
    return "## Seeds\n" + table(head, rows)


def _corruptions(models: Sequence[ModelFigures]) -> str:
    names = models[0]["other_sets"]["corruptions"]
    rows = [[name, *(f"{model['other_sets']['corruptions'][name]:.2%}" for model in models)] for name in names]
    rows.append(["**mean**", *(f"**{model['other_sets']['corruptions_mean']:.2%}**" for model in models)])
    title = "## Accuracy on the corrupted test rows (MNIST-C's fifteen, own implementation)\n"
    return title + table(["", *(model["name"] for model in models)], rows)


def _refusal(models: Sequence[ModelFigures]) -> str:
    rows = []
    for model in models:
        for name, figures in model["other_sets"]["refusal"].items():
            rows.append(
                [
                    model["name"],
                    f"{name} ({figures['images']:,})",
                    f"{figures['refused']:.1%}",
                    f"{figures['refused_at_equal_share']:.1%}",
                    *(f"{value:.4f}" for value in figures["auroc"].values()),
                ]
            )
    scores = list(next(iter(models[0]["other_sets"]["refusal"].values()))["auroc"])
    head = ["model", "set", "refused", "at an equal share", *(f"AUROC: {score}" for score in scores)]
    return _REFUSAL.format(fitted=FITTED_ROWS, share=SHARE_OF_DIGITS) + table(head, rows)


def _other_digits(models: Sequence[ModelFigures]) -> str:
    sets = {**models[0]["other_sets"]["digits"], **models[0]["other_sets"]["stand_ins"]}
    rows = []
    for name, first in sets.items():
        found = [{**model["other_sets"]["digits"], **model["other_sets"]["stand_ins"]}[name] for model in models]
        cells = [f"{each['accuracy']:.2%}, {each['refused']:.2%} refused" for each in found]
        rows.append([f"{name} ({first['images']:,})", *cells])
    title = (
        "## Digits of other populations, through the intake (the last ones are stand-ins made from validation rows)\n"
    )
    return title + table(["", *(model["name"] for model in models)], rows)
