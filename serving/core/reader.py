"""Read use case: one picture in, lines of digits out. Knows no transport.

1. A picture is admitted as one image before it is decoded. The candidates for digits that are found in it are admitted
   as the images that they are, so that a page cannot take the room of others unseen.
2. Candidates are submitted batch by batch, so that requests which come meanwhile run between those of a page; all
   are read by one version of the model.
3. Segmentation, with the column network, and the decoding of lines run on the decoders' threads, off the event loop.
"""

import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from serving.auth.api_keys import Caller
from serving.core.batch_queue import NO_DEADLINE
from serving.core.batcher import Batcher
from serving.core.classifier import Classifier
from serving.core.feedback import Recorder
from serving.core.picture_decoder import before
from serving.core.registry import Registry
from serving.core.results import note_batch
from serving.errors import InvalidRequestError, NotReadyError
from serving.image.picture import ImageLimits
from serving.predictions import Pixels, Predictions, join
from serving.readings import Layout, Line, Reading
from serving.traces.request_trace import ANSWER, DECODE_QUEUE, LINES, QUEUE, RequestTrace

if TYPE_CHECKING:  # importing them loads OpenCV and Pillow
    from serving.image.segmentation.columns import ReadStrips
    from serving.image.segmentation.segmentation import Segmentation


READING = 8  # units of work, besides decoding: a line takes 10 to 20 ms; what takes longer is paid for afterwards


class Reader:
    """Reads pictures. Used from the event loop alone."""

    def __init__(
        self, registry: Registry, classifier: Classifier, read_strips: "ReadStrips", recorder: Recorder | None = None
    ) -> None:
        """`read_strips`: the column network, called from the decoders' threads. `recorder`: as for Classifier."""
        self._recorder = recorder
        self._registry = registry
        self._classifier = classifier
        self._read_strips = read_strips

    async def read(
        self,
        picture: bytes,
        caller: Caller,
        layout: Layout = Layout.AUTO,
        version: int = 0,
        deadline: float = NO_DEADLINE,
    ) -> Reading:
        """Reads a picture file. `caller`, `version` and `deadline` as for Classifier.classify.

        Raises InvalidRequestError, UnknownVersionError, OverloadedError, DecodersFullError, RateLimitedError,
        TooLateError, NotReadyError or ExpiredError.
        """
        classifier = self._classifier
        served = self._registry.served(version)
        pictures = classifier.pictures
        cost, trace = pictures.cost(picture) + READING, caller.trace
        if trace is not None:
            trace.admit(served.model.name, served.model.version, images=1)
        with classifier.admitted(caller, 1, served.batcher, deadline, decoding=cost):
            began = time.monotonic()
            if trace is not None:
                trace.enter(DECODE_QUEUE)
            async with before(deadline):
                segmenting = partial(_segment, picture, pictures.limits, layout, self._read_strips, trace)
                found = await pictures.run(caller, cost, segmenting, is_long=True)
            if trace is not None:
                trace.decoded()
            decode_seconds = time.monotonic() - began
            pictures.count_remarks(found.quality)
            if served.batcher.is_closing:  # another version replaced it while the picture was decoded
                served = self._registry.served_after_admission(version)
            candidates = len(found.pixels)
            if not candidates:
                return Reading((), found.width, found.height, found.quality, served.model.version, decode_seconds)
            if candidates > classifier.capacity:
                raise InvalidRequestError(
                    f"the picture holds {candidates} candidates for digits, and this server has room for"
                    f" {classifier.capacity}; send a part of it"
                )
            rest = candidates - 1  # beyond the one that is admitted
            if trace is not None:
                trace.admit(served.model.name, served.model.version, candidates)
            with classifier.admitted(caller, rest, served.batcher, deadline, held=1) if rest else nullcontext():
                if trace is not None:
                    trace.enter(QUEUE)
                try:
                    predictions = await _predict(found.pixels, served.batcher, deadline)
                except NotReadyError:  # another version replaced it between two batches
                    batcher = self._registry.served_after_admission(version).batcher
                    predictions = await _predict(found.pixels, batcher, deadline)
                if trace is not None:
                    note_batch(trace, predictions, LINES)
                lines = await pictures.run_after(caller, partial(_decoded_lines, found, predictions))
                if self._recorder and caller.request_id:
                    self._recorder.add_lines(caller, found.pixels, lines, predictions.version)
                if trace is not None:
                    trace.enter(ANSWER)
        return Reading(
            lines,
            found.width,
            found.height,
            found.quality,
            predictions.version,
            decode_seconds,
            predictions.queue_seconds,
            predictions.inference_seconds,
            predictions.batch_images,
        )


async def _predict(pixels: Pixels, batcher: Batcher, deadline: float) -> Predictions:
    """Predicts the candidates, (n, 784). Raises NotReadyError where the batcher is closed meanwhile."""
    largest = batcher.max_batch_size
    parts = [
        await batcher.submit(pixels[start : start + largest], deadline) for start in range(0, len(pixels), largest)
    ]
    return join(parts) if len(parts) > 1 else parts[0]


# Imported where they run: OpenCV and Pillow take 30 MB and a quarter of a second, and raw pixels need neither.


def _segment(
    picture: bytes, limits: ImageLimits, layout: Layout, read_strips: "ReadStrips", trace: RequestTrace | None
) -> "Segmentation":
    if trace is not None:
        trace.note_decoding()
    from serving.image.segmentation.segmentation import segment

    return segment(picture, limits, layout, read_strips)


def _decoded_lines(found: "Segmentation", predictions: Predictions) -> tuple[Line, ...]:
    from serving.core.line_decoding import decoded_lines

    return decoded_lines(found, predictions)
