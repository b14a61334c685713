"""Fits the numbers of serving.core.line_decoding to pictures of whole numbers with known truth, in process.

1. A logistic regression finds a start: which candidates are a digit of the truth, by place and value.
2. The weights become those of a conditional random field (Lafferty et al., 2001): they make paths that read the truth
   as likely as they can be among all paths.
3. A second logistic regression makes the probability of a line of the Features of the lines so decoded.

Pictures of signs alone, Omniglot's characters, scribbles and shapes, teach what is no digit.

Prints the constants to paste. Every third picture of a kind is kept out of the fit; for these it prints the whole lines
right, with the present weights (which may have been learned from them) and with the new ones, and the new ECE.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from experiments.whole_numbers.handwriting import SPLITS
from experiments.whole_numbers.pictures import KINDS, Line, Picture, make
from experiments.whole_numbers.scoring import calibration_error, intersection_over_union
from experiments.whole_numbers.signs import signs_picture
from serving.core.line_decoding import (
    WEIGHTS,
    Judged,
    candidate_features,
    judged,
    lines_with_features,
    rows_of_lines,
)
from serving.image.segmentation.columns import ReadStrips
from serving.image.segmentation.segmentation import Segmentation, segment_grey
from serving.models.column_network import ColumnNetwork
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from serving.predictions import Predictions
from training.data.other_handwriting.omniglot import VALIDATION_ALPHABETS, load_omniglot

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

FITTED_KINDS = tuple(kind for kind in KINDS if kind not in ("a4-page", "sudoku"))
SIGNS = "signs"  # a kind of picture, with no digit
# So many fewer pictures of these kinds: several lines a picture would outweigh others, and signs are rarer than digits.
FEWER = {"lines-scan": 6, "lines-photo": 6, SIGNS: 2}
NO_DIGIT = -1  # in place of a digit
RIGHT_BOX = 0.7  # intersection over union from which on a candidate is the digit of the truth, at the start
START_OF_NO_DIGIT = -5.0  # its weight at the start: little is best left out
PENALTY = 1e-3  # of squared weights, each times its feature's standard deviation
MOST_STEPS = 80  # of the search for weights


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What candidates of a line may be: features (n, k), spans (n, 2) of atoms, digits (n,) or NO_DIGIT; true text."""

    features: Doubles
    spans: npt.NDArray[np.int32]
    digits: Numbers
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture that is segmented and predicted, and its truth."""

    kind: str
    found: Segmentation  # without pixels
    judged: Judged  # its candidates
    texts: Sequence[str]  # truth of each line that was found, "" where nothing is written
    is_digit: Bools  # (n,): the candidate is a digit of the truth
    lines: int  # number of lines written

    def features(self) -> Doubles:
        """Returns the features of the candidates, as digits and as none, (2n, k)."""
        return np.stack(list(candidate_features(self.found, self.judged).values()), axis=1)

    def candidates(self) -> list[Candidates]:
        """Returns the candidates line by line."""
        features, spans = self.features(), np.tile(self.found.spans[:, 1:], (2, 1))
        digits = np.append(self.judged.digits, np.full_like(self.judged.digits, NO_DIGIT))
        return [
            Candidates(features[rows], spans[rows], digits[rows], text)
            for rows, text in zip(rows_of_lines(self.found, self.judged), self.texts, strict=True)
        ]


def main(arguments: Sequence[str]) -> None:
    """Makes the pictures, fits, and prints."""
    options = _parser().parse_args(arguments)
    repository = ModelRepository(options.model_repository, options.model_name)
    model = repository.load(0, lambda graph, _: OnnxSession(graph, "cpu", 1), 64)
    read_strips = ColumnNetwork()
    parts: tuple[list[Sample], list[Sample]] = [], []  # to fit, and to check the fit
    characters = load_omniglot().of(VALIDATION_ALPHABETS)
    for kind in (*FITTED_KINDS, SIGNS):
        for seed in range(max(3, options.pictures // FEWER.get(kind, 1))):
            picture = signs_picture(characters, seed) if kind == SIGNS else make(kind, seed, options.split)
            made = sample(kind, picture, model, read_strips)
            if made:
                parts[seed % 3 == 2].append(made)
        print(f"{kind}: pictures made", file=sys.stderr)
    report(*parts)


def report(fit: Sequence[Sample], check: Sequence[Sample]) -> None:
    """Fits to the samples of `fit`, and prints the constants, and the figures of the samples of `check`."""
    names = tuple(candidate_features(fit[0].found, fit[0].judged))
    learned = conditional_field([line for each in fit for line in each.candidates()], start(fit, names))
    weights = dict(zip(names, learned.round(2).tolist(), strict=True))
    features, fitted_right = outcomes(fit, weights)
    if fitted_right.all() or not fitted_right.any():
        raise SystemExit("error: all lines are right, or none: that calibrates nothing. Take more --pictures.")
    calibration = LogisticRegression(C=100, max_iter=2000).fit(features, fitted_right)
    calibration.coef_, calibration.intercept_ = calibration.coef_.round(2), calibration.intercept_.round(2)
    values, is_right = outcomes(check, weights)
    error = calibration_error(calibration.predict_proba(values)[:, 1], is_right)
    print("WEIGHTS = {", *(f'    "{name}": {weight},' for name, weight in weights.items()), "}", sep="\n")
    print(f"CONSTANT = {calibration.intercept_[0]}\nLINE_WEIGHTS = {tuple(calibration.coef_[0].tolist())}\n")
    print(f"{'kept out of the fit':20} {'lines':>5} {'right before':>12} {'after':>6}")
    written = [each for each in check if each.lines]
    for kind in (*dict.fromkeys(each.kind for each in written), "all"):
        samples = [each for each in written if kind in (each.kind, "all")]
        lines = sum(each.lines for each in samples)
        before, after = (100 * outcomes(samples, each)[1].sum() / lines for each in (WEIGHTS, weights))
        print(f"{kind:20} {lines:5} {before:10.1f} % {after:4.1f} %")
    print(f"ECE of a line's probability: {error:.3f} of {len(is_right)} lines read")
    empty = [each for each in check if not each.lines]
    if empty:
        before, after = (
            100 * sum(read_as_digits(each, some) for each in empty) / len(empty) for some in (WEIGHTS, weights)
        )
        print(
            f"pictures of signs in which a digit is read, without a warning: {before:.1f} % before, {after:.1f} % after"
        )


def sample(kind: str, picture: Picture, model: LoadedModel, read_strips: ReadStrips) -> Sample | None:
    """Segments and predicts a picture, and finds what is true of each candidate and line; None without candidates."""
    found = segment_grey(picture.grey, read_strips)
    if not len(found.pixels):
        return None
    batch = model.run(found.pixels)
    both = judged(found, Predictions(batch, 0, len(batch)))
    texts, is_digit = truth(found, both.digits, picture.lines)
    found = replace(found, pixels=found.pixels[:0])
    return Sample(kind, found, both, texts, is_digit, len(picture.lines))


def truth(found: Segmentation, digits: Numbers, lines: Sequence[Line]) -> tuple[list[str], Bools]:
    """Returns the true text of each line found, by the overlap of boxes, and which candidates are true digits, (n,)."""
    if not lines:
        return [""] * len(np.unique(found.spans[:, 0])), np.zeros(len(digits), np.bool_)
    overlaps = intersection_over_union(found.boxes.astype(np.int64), np.concatenate([line.boxes for line in lines]))
    true_digits = np.array([int(digit) for line in lines for digit in line.text])
    line_of_digit = np.repeat(np.arange(len(lines)), [len(line.text) for line in lines])
    is_digit = (overlaps.max(axis=1) >= RIGHT_BOX) & (true_digits[overlaps.argmax(axis=1)] == digits)
    texts = []
    for number in np.unique(found.spans[:, 0]):
        shared = np.bincount(line_of_digit, overlaps[found.spans[:, 0] == number].max(axis=0))
        texts.append(lines[int(shared.argmax())].text if shared.any() else "")
    return texts, is_digit


def start(samples: Sequence[Sample], names: Sequence[str]) -> Doubles:
    """Returns the weights to start with, (k,): of a logistic regression on the candidates that may be digits."""
    may_be = [each.judged.may_be_digit for each in samples]
    features = np.concatenate([each.features()[: len(some)][some] for each, some in zip(samples, may_be, strict=True)])
    is_digit = np.concatenate([each.is_digit[some] for each, some in zip(samples, may_be, strict=True)])
    fitted = LogisticRegression(C=10, max_iter=3000, fit_intercept=False).fit(features, is_digit)
    weights: Doubles = fitted.coef_[0].copy()
    weights[names.index("no digit")] = START_OF_NO_DIGIT
    return weights


def conditional_field(lines: Sequence[Candidates], weights: Doubles) -> Doubles:
    """Returns the weights, (k,), that make the truth of the lines likeliest. The search starts with `weights`.

    Lines whose truth no path reads are passed over. Where nothing is written, the truth is that no digit is.
    """
    possible = [line for line in lines if truth_flow(line, line.features @ weights) is not None]
    scale = np.maximum(np.concatenate([line.features for line in possible]).std(axis=0), 1e-3)

    def loss(scaled: Doubles) -> tuple[float, Doubles]:
        """Returns the mean negative logarithm of the truth's probability, and its gradient."""
        total, gradient = 0.0, np.zeros_like(scaled)
        for line in possible:
            scores = line.features @ (scaled / scale)
            wanted = truth_flow(line, scores)
            assert wanted is not None  # whether there is a path does not depend on weights
            every = flow(line.spans, scores, [None] * len(scores), 0)
            total += every[0] - wanted[0]
            gradient += line.features.T @ (every[1] - wanted[1])
        mean = gradient / scale / len(possible)
        return total / len(possible) + PENALTY * float(scaled @ scaled), mean + 2 * PENALTY * scaled

    found = minimize(loss, weights * scale, jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS})
    learned: Doubles = found.x / scale
    return learned


def truth_flow(line: Candidates, scores: Doubles) -> tuple[float, Doubles] | None:
    """Returns flow() of the paths that read the line's text; None without one."""
    text = np.array([int(digit) for digit in line.text], np.int64)
    fits = [None if digit == NO_DIGIT else text == digit for digit in line.digits.tolist()]
    total, shares = flow(line.spans, scores, fits, len(text))
    return (total, shares) if np.isfinite(total) else None


def flow(
    spans: npt.NDArray[np.int32], scores: Doubles, fits: Sequence[Bools | None], length: int
) -> tuple[float, Doubles]:
    """Returns the logarithm of the sum of exp(score) over paths that read a text, and each candidate's share, (n,).

    `spans` as for best_path. `fits`: at which of `length` places of the text each candidate can stand, (length,); None
    for one that adds nothing to the text.
    """
    atoms = int(spans[:, 1].max())
    # Of each place between atoms and each number of digits read until there: the sum over paths from and to there.
    before, after = np.full((2, atoms + 1, length + 1), -np.inf)
    before[0, 0] = after[atoms, length] = 0.0
    ends = spans.tolist()
    for row in np.lexsort((spans[:, 0], spans[:, 1])).tolist():
        first, end = ends[row]
        sums, fit = before[first] + scores[row], fits[row]
        if fit is not None:
            sums = np.append(-np.inf, np.where(fit, sums[:-1], -np.inf))
        before[end] = np.logaddexp(before[end], sums)
    total = float(before[atoms, length])
    shares = np.zeros(len(scores))
    if not np.isfinite(total):
        return total, shares
    for row in np.lexsort((spans[:, 1], spans[:, 0]))[::-1].tolist():
        first, end = ends[row]
        sums, fit = after[end] + scores[row], fits[row]
        if fit is not None:
            sums = np.append(np.where(fit, sums[1:], -np.inf), -np.inf)
        after[first] = np.logaddexp(after[first], sums)
        shares[row] = np.exp(before[first] + sums - total).sum()
    return total, shares


def outcomes(samples: Sequence[Sample], weights: Mapping[str, float]) -> tuple[Doubles, Bools]:
    """Decodes samples; returns Features.values() of each line with a digit, (m, 5), and which lines are right, (m,)."""
    read = [
        (features.values(), line.text == text)
        for each in samples
        for (line, features), text in zip(
            lines_with_features(each.found, each.judged, weights), each.texts, strict=True
        )
        if line.text
    ]
    return np.array([values for values, _ in read], np.float64), np.array([right for _, right in read], np.bool_)


def read_as_digits(sample: Sample, weights: Mapping[str, float]) -> bool:
    """Decodes a sample; returns True where a line holds a digit, and is not refused."""
    decoded = lines_with_features(sample.found, sample.judged, weights)
    return any(line.text and not line.refused for line, _ in decoded)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks line_weights", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--split", choices=SPLITS, default="validation", help="whose writers (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=150, help="of a kind, at least 3 (default: %(default)s)")
    parser.add_argument("--model-repository", type=Path, default=Path("models"), help="(default: %(default)s)")
    parser.add_argument("--model-name", default="mnist", help="whose highest version reads (default: %(default)s)")
    return parser
