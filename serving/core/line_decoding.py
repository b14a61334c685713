"""Decodes lines: which candidates of a segmentation are digits, and how sure that is. Provisional: all of them."""

import math

from serving.image.segmentation import Segmentation
from serving.predictions import Predictions, Refusal
from serving.readings import Glyph, Line


def decoded_lines(segmentation: Segmentation, predictions: Predictions) -> tuple[Line, ...]:
    """Returns the lines of a segmentation, given the predictions for its candidates, one for each, in order."""
    by_line: dict[int, list[Glyph]] = {}
    for index, (line, _, _) in enumerate(segmentation.spans.tolist()):
        x, y, width, height = segmentation.boxes[index].tolist()
        glyph = Glyph(
            (x, y, width, height),
            int(predictions.digits[index]),
            predictions.probabilities[index],
            float(predictions.novelties[index]),
            bool(predictions.refusals[index] != Refusal.NONE),
        )
        by_line.setdefault(line, []).append(glyph)
    return tuple(_line(tuple(glyphs)) for _, glyphs in sorted(by_line.items()))


def _line(glyphs: tuple[Glyph, ...]) -> Line:
    text = "".join(str(glyph.digit) for glyph in glyphs if not glyph.refused)
    probability = math.prod(float(glyph.probabilities[glyph.digit]) for glyph in glyphs)
    return Line(glyphs, text, probability, any(glyph.refused for glyph in glyphs))
