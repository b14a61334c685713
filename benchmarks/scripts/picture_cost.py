"""Times the intake of a picture in process: decoding and framing, and for comparison Pillow with a plain resize.

Processor milliseconds of all threads of this process, medians. The pictures take turns, so that a noisy moment affects
all of them. For a picture over the limits the server's refusal is printed.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.peers.pillow_pixels import pixels_of_picture
from benchmarks.protocols.pictures import PICTURES, PictureFile
from benchmarks.servers.example_network import sample_digits
from serving.config import Config
from serving.errors import InvalidRequestError
from serving.image.decode import decode
from serving.image.framing import frame
from serving.image.picture import ImageLimits

FILES = {
    "png-28": PictureFile("PNG", 28, 28),
    **PICTURES,
    "jpeg-4mp": PictureFile("JPEG", 2000, 2000),
    "jpeg-48mp": PictureFile("JPEG", 8000, 6000),
}
DIGITS = 5  # of the sample, drawn in turn


@dataclass(slots=True)
class Cost:
    """Processor milliseconds of each step for one kind of picture. `refusal`: why the server does not take it."""

    title: str
    files: list[bytes]
    decode: list[float] = field(default_factory=list)
    frame: list[float] = field(default_factory=list)
    pillow: list[float] = field(default_factory=list)
    refusal: str = ""

    def measure(self, number: int, limits: ImageLimits) -> None:
        """Times each step once, with the file of that number."""
        encoded = self.files[number % len(self.files)]
        began = time.process_time()
        try:
            grey = decode(encoded, limits)
            decoded = time.process_time()
            frame(grey)
        except InvalidRequestError as error:
            self.refusal = str(error)
        else:
            self.frame.append(1000 * (time.process_time() - decoded))
            self.decode.append(1000 * (decoded - began))
        began = time.process_time()
        pixels_of_picture(encoded)
        self.pillow.append(1000 * (time.process_time() - began))

    def line(self) -> str:
        """The row of the table: medians, and a refusal in words."""
        kibibytes = statistics.mean(map(len, self.files)) / 1024
        ours = [f"{statistics.median(times):.2f}" if times else "-" for times in (self.decode, self.frame)]
        line = f"{self.title:17} {kibibytes:7,.1f} {ours[0]:>10} {ours[1]:>9} {statistics.median(self.pillow):10.2f}"
        return f"{line}  refused: {self.refusal}" if self.refusal else line


def main(arguments: Sequence[str]) -> None:
    """Prints a line for each kind of picture."""
    options = _parser().parse_args(arguments)
    limits = ImageLimits(Config().max_image_bytes, Config().max_image_pixels)
    rows = sample_digits()[:DIGITS, None]
    costs = [Cost(FILES[name].title, [FILES[name].encode(row) for row in rows]) for name in options.pictures]
    for cost in costs:  # warms up: the first picture loads libraries
        Cost(cost.title, cost.files).measure(0, limits)
    for number in range(options.repetitions):
        for cost in costs:
            cost.measure(number, limits)
    print(f"{'picture':17} {'KiB':>7} {'decode ms':>10} {'frame ms':>9} {'Pillow ms':>10}")
    for cost in costs:
        print(cost.line())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks picture_cost", description=__doc__)
    parser.add_argument("--pictures", nargs="+", choices=FILES, default=list(FILES), help="(default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=100, help="of each picture (default: %(default)s)")
    return parser
