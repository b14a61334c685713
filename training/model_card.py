"""MODEL_CARD.md, written from metadata.json and nothing else, so that the two cannot disagree."""

from training.model_metadata import Metadata, SetMetrics

_CARD = """\
# {name}, version {version}

Reads one handwritten digit from 28x28 pixels. Written from metadata.json by `training/model_card.py`, never by hand.

## What it is
{convolutions} convolutions with pooling ({filters} filters), a hidden dense layer of {dense_units} units, ten outputs:
{parameters:,} parameters, {multiply_adds:,} multiply-adds for each image. The graph (ONNX) holds everything between raw
pixels and calibrated answer.

| tensor | type | shape | meaning |
|---|---|---|---|
| `pixels` (in) | uint8 | batch, 784 | rows from the top, 0 = paper, 255 = ink |
| `probabilities` | float32 | batch, 10 | calibrated probability of each digit |
| `digit` | int64 | batch | the likeliest digit |
| `novelty` | float32 | batch | 0 for a typical digit, towards 1 for no digit: 1 - the largest probability |

## Intended use
Single handwritten digits 0 to 9 in MNIST's form: ink as 255 on 0, fitted into 20x20 pixels with the aspect kept, the
centre of mass in the middle of 28x28. The server of this repository brings photos and scans to that form. Not meant for
letters, for numbers of several digits, for printed type, or for decisions about people unless someone looks at what
the model refuses.

## Data
MNIST by Yann LeCun, Corinna Cortes and Christopher J. C. Burges: 70,000 digits written by employees of the U.S.
Census Bureau and by high-school students. Licence: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0).
Of the 60,000 training rows, {train_images:,} trained the weights; {validation_images:,} others decided temperature and
threshold. The test rows served for the figures below, and as inputs when the graph was compared with Keras.

| file | SHA-256 |
|---|---|
{data}

## Training
{epochs} epochs in batches of {batch_size}; AdamW, weight decay {weight_decay}, learning rate {learning_rate} falling
along a cosine; running average of weights (decay {averaging}); dropout {dropout}; label smoothing {label_smoothing}.
Each time an image was used it was distorted anew: turned up to {rotation_degrees} degrees, slanted up to {shear},
scaled up to {scale:.0%}, stretched up to {aspect:.0%}, shifted up to {shift_pixels} pixels, bent up to
{elastic_pixels} pixels, its strokes made up to {stroke} pixels thinner or thicker on each side.
It took {seconds:.0f} s with {threads} threads ({processor}), seed {seed}.
Code: revision `{revision}`{dirty}. Libraries: {libraries}.

## Figures
| | validation ({validation_count:,}) | test ({test_count:,}) |
|---|---|---|
{figures}

The 15 known wrong labels are those of Northcutt, Athalye and Mueller (2021). The interval is a 95 % bootstrap interval.

Share of each digit's images read rightly:

| digit | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
|---|---|---|---|---|---|---|---|---|---|---|
| validation | {validation_per_digit} |
| test | {test_per_digit} |

## Calibration and refusal
Logits are divided by the temperature {temperature:.4f}, at which the validation labels are likeliest.
An image is refused when its novelty is greater than {novelty_threshold:.4f}: the smallest threshold that refuses at
most {largest_refused_share:.1%} of the validation digits.

## Limits
- Novelty only says that no digit stands out. Letters, noise and other drawings can be read as digits with confidence.
- MNIST's writers were Americans of the 1990s; a 1 with a long upstroke or a crossed 7 is rare in it.
- Test accuracies this high differ by about 0.1 points by chance: 10,000 images do not tell such networks apart.

## Files
| file | SHA-256 |
|---|---|
{files}
"""


def model_card(metadata: Metadata) -> str:
    """The card's whole text (Markdown)."""
    training, git = metadata["training"], metadata["git"]
    validation, test = metadata["metrics"]["mnist_validation"], metadata["metrics"]["mnist_test"]
    return _CARD.format(
        **{key: value for key, value in training.items() if key not in ("filters", "started")},
        name=metadata["name"],
        version=metadata["version"],
        convolutions=len(training["filters"]),
        filters=", ".join(map(str, training["filters"])),
        parameters=metadata["parameters"],
        multiply_adds=metadata["multiply_adds"],
        data=_rows(metadata["data"]),
        revision=git["revision"],
        dirty=" with uncommitted changes" if git["dirty"] else "",
        libraries=", ".join(f"{name} {version}" for name, version in metadata["libraries"].items()),
        validation_count=validation["images"],
        test_count=test["images"],
        figures=_figures(validation, test, test["accuracy_without_known_wrong_labels"]),
        validation_per_digit=_per_digit(validation),
        test_per_digit=_per_digit(test),
        temperature=metadata["temperature"],
        novelty_threshold=metadata["novelty_threshold"],
        files=_rows(metadata["files"]),
    )


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


def _rows(values: dict[str, str]) -> str:
    return "\n".join(f"| `{name}` | `{value}` |" for name, value in values.items())


def _per_digit(metrics: SetMetrics) -> str:
    return " | ".join(f"{share:.2%}" for share in metrics["per_digit"])
