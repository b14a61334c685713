"""Words of a model card: its parts as templates, which `model_card` fills with the figures of metadata.json."""

CARD = """\
# {name}, version {version}

Reads one handwritten digit from 28x28 pixels. Written from metadata.json by the trainer, never by hand.

## What it is
{what} The graph (ONNX) holds everything between raw
pixels and calibrated output.

| tensor | type | shape | meaning |
|---|---|---|---|
| `pixels` (in) | uint8 | batch, 784 | rows from the top, 0 = paper, 255 = ink |
| `probabilities` | float32 | batch, 10 | calibrated probability of each digit |
| `digit` | int64 | batch | the likeliest digit |
| `novelty` | float32 | batch | 0 for a typical digit, towards 1 for no digit: {novelty} |

## Intended use
Single handwritten digits 0 to 9 in MNIST's form: ink as 255 on 0, fitted into 20x20 pixels with the aspect kept, the
centre of mass in the middle of 28x28. The server of this repository brings photos and scans to that form. Not meant for
letters, for numbers of several digits{printed}, or for decisions about people unless someone looks
at what is refused.

## Data
MNIST by Yann LeCun, Corinna Cortes and Christopher J. C. Burges: 70,000 digits written by employees of the U.S.
Census Bureau and by high-school students. Licence: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0).
Of the 60,000 training rows, {train_images:,} trained the weights; {others} decided {decided}
{other_data}
| file | SHA-256 |
|---|---|
{data}

## Training
{training}Code: revision `{revision}`{dirty}. Libraries: {libraries}.
{adapted}
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
Logits are divided by {temperature}, at which the validation labels are likeliest.
An image is refused when its novelty is greater than {novelty_threshold:.4f}: the smallest threshold that refuses at
most {largest_refused_share:.1%} of the validation digits{spared}.
{other_sets}
## Limits
- {strangers}
- MNIST's writers were Americans of the 1990s; a 1 with a long upstroke or a crossed 7 is rare in it.
- Test accuracies this high differ by about 0.1 points by chance: 10,000 images cannot rank such networks.

## Files
| file | SHA-256 |
|---|---|
{files}
"""

WHAT = """\
{form}{convolutions} convolutions with pooling ({filters} filters) and a hidden dense layer of {dense_units}
units, with {outputs}. {parameters:,} parameters,
{multiply_adds:,} multiply-adds for each image, {precision}."""

TRAINING = """\
{epochs} epochs in batches of {batch_size}; AdamW, weight decay {weight_decay}, learning rate {learning_rate} falling
along a cosine; running average of weights (decay {averaging}); dropout {dropout}; label smoothing {label_smoothing}.
Each time an image was used it was distorted anew: turned up to {rotation_degrees} degrees, slanted up to {shear},
scaled up to {scale:.0%}, stretched up to {aspect:.0%}, shifted up to {shift_pixels} pixels, bent up to
{elastic_pixels} pixels, its strokes made up to {stroke} pixels thinner or thicker on each side{lessons}
It took {seconds:.0f} s with {threads} threads ({processor}), {seeds}.
"""

ADAPTED = """
## Adapted to own digits
Training began with `{start_name}` (model.onnx: `{start_sha256}`). {pictures:,} pictures of a user joined, {digits:,}
digits and {none:,} that are none, {own_images} in each batch, by `python -m training adapt`. They are not a part of
this version; SHA-256 of their pixels and labels: `{sha256}`. The weights lie at {interpolation:.0%} of the way
from those that it began with to the trained ones.

Before and after, each on the same pictures. Own pictures were read by networks that had not learned them: {parts} parts
were held out in turn, whole groups of which there are {groups:,} (each a {by}). Intervals are 95 %, of the change in
points.

| pictures | before | after | interval |
|---|---|---|---|
{changes}
{written_anyway}"""

CASCADE = """\
A cascade of two networks: `{fast}` answers, and where its largest probability is below
{unsure_below}, `{second}` answers in its place. {parameters:,} parameters together, {precision};
{multiply_adds:,} multiply-adds for each image on average over the validation rows, of which {unsure_share:.2%} go to
the second stage, and {most:,} for an image that does."""

STAGES = """\
Nothing was trained: both stages are versions of this repository, and their model cards say how they were.{in_int8}

| stage | version | revision | SHA-256 of model.onnx | temperature | novelty threshold |
|---|---|---|---|---|---|
{stages}

{threshold}. The second stage's novelty is raised to the power {novelty_power:.4f},
which maps its threshold to that of the fast stage: one threshold serves both.
"""

CHOSEN = """\
{unsure_below} is the smallest threshold from which on every one reads the validation rows no worse than the second
stage alone, by accuracy and by log-likelihood"""
GIVEN = "{unsure_below} was given by hand, and not chosen on the validation rows"

IN_INT8 = """
The stages are int8 forms, made from these versions' graphs when they were joined, each with the threshold that
belongs to it."""

PRECISIONS = {"float32": "in float32", "int8": "its convolutions but the first, and its hidden layer, in int8"}
OTHER_DATA = """
Other handwriting: digits of "Pen-Based Recognition of Handwritten Digits" (E. Alpaydin, F. Alimoglu) and of "Multiple
Features" (R. Duin), both of the UCI Machine Learning Repository, licence CC BY 4.0, drawn anew and framed by the
server; and characters of Omniglot (B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum; MIT licence) that resemble no
digit, as non-digits. A sixth of the digits and two of eight alphabets were held out. Rare forms (the European 1,
angular digits, the slashed 0; a crossed ring as a non-digit) were drawn by the project.
"""
# What differs between models that learned novelty from non-digits and those that take it from their probabilities.
LEARNED = {
    "outputs": "eleven outputs: the ten digits, and novelty",
    "novelty": "learned from synthesised non-digits",
    "printed": "",
    "strangers": (
        "A letter that looks like a digit is read as that digit (O I l S Z B; o, s, q, g in many hands), and so may be"
        " what\n  resembles none of the synthesised non-digits."
    ),
}
DERIVED = {
    "outputs": "ten outputs",
    "novelty": "1 - the largest probability",
    "printed": ", for printed type",
    "strangers": (
        "Novelty only says that no digit stands out. Letters, noise and other drawings can be read as digits with"
        " confidence."
    ),
}
