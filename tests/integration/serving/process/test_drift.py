"""Drift as Prometheus sees it: turned traffic to a real server with the shipped model, and what /metrics says."""

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy import ndimage

from mnist_digits import AsyncDigitClient
from serving.config import Config
from serving.drift.windows import FEWEST
from serving.image.framing import frame
from serving.logging import get_logger
from serving.process.standalone import Standalone
from serving.process.supervisor import Supervisor
from tests.support.engine import ENGINE
from tests.support.pictures import file_of
from tests.support.processes import ROOT
from training.other_handwriting.sets import load_other_handwriting
from training.synthetic.silhouettes import silhouette

Pixels = npt.NDArray[np.uint8]

DIGITS = np.load(ROOT / "tests" / "data" / "digits.npz")
FIELDS = DIGITS["pixels"].reshape(-1, 28, 28)
ALERTS_AT = 0.5  # index over a day at which DigitsDrifting fires
SHIPPED = ROOT / "models"


def inverted(fields: Pixels) -> Pixels:
    return 255 - fields


def thinned(fields: Pixels) -> Pixels:
    """A finer pen."""
    eroded: Pixels = ndimage.grey_erosion(fields, size=(1, 2, 2))
    return eroded


def shifted(fields: Pixels) -> Pixels:
    """Not centred as MNIST is: lower by a pixel."""
    return np.roll(fields, 1, axis=1)


def of_another_scanner(fields: Pixels) -> Pixels:
    """Pale ink: half of MNIST's levels."""
    return fields // 2


def shrunk(fields: Pixels) -> Pixels:
    """Three quarters of the size."""
    small = np.stack([ndimage.zoom(field, 0.75, order=1) for field in fields])
    padded: Pixels = np.pad(small, ((0, 0), (3, 4), (3, 4)))
    return padded


def clothes(fields: Pixels) -> Pixels:
    generator = np.random.default_rng(1)
    bodies = [silhouette(generator) for _ in fields]
    scaled = [ndimage.zoom(body, (26 / body.shape[0], 26 / body.shape[1]), order=1) for body in bodies]
    drawn: Pixels = np.stack([np.pad(np.rint(255 * body), 1).astype(np.uint8) for body in scaled])
    return drawn


def pictures(fields: Pixels, slants: npt.NDArray[np.float64], width: float = 1.0) -> list[Pixels]:
    """Dark on light, (200, 200): digits four times as large, sheared to the right, and stretched across."""
    found = []
    for field, slant in zip(fields, slants, strict=True):
        # For each place (row, column) in the picture, from its middle, the place in the field.
        back = np.array([[1, 0], [slant, 1 / width]]) / 4
        ink = ndimage.affine_transform(field, back, np.array([14, 14]) - back @ (100, 100), (200, 200), order=1)
        found.append(255 - ink)
    return found


def steeply_slanted(fields: Pixels) -> list[Pixels]:
    """Sheared by 35 to 48 degrees, as in old registers."""
    return pictures(fields, np.random.default_rng(1).uniform(0.7, 1.1, len(fields)))


def framed(drawn: list[Pixels]) -> Pixels:
    """As the intake frames them: raw pixels from a caller that has done so."""
    return np.stack([frame(picture).pixels for picture in drawn]).reshape(-1, 28, 28)


def slanted(fields: Pixels) -> Pixels:
    return framed(steeply_slanted(fields))


def of_a_fax(fields: Pixels) -> Pixels:
    """Of a fax's standard resolution, half as many lines. Pixels taken for squares make digits twice as wide."""
    return framed(pictures(fields, np.zeros(len(fields)), width=2.0))


def ones(_: Pixels) -> Pixels:
    drawn: Pixels = FIELDS[DIGITS["label"] == 1]
    return drawn


TURNED: Mapping[str, tuple[Callable[[Pixels], Pixels], str]] = {
    "inverted": (inverted, "ink"),
    "thinned": (thinned, "stroke_width"),
    "shifted": (shifted, "row"),
    "another scanner": (of_another_scanner, "level"),
    "smaller": (shrunk, "size"),
    "slanted": (slanted, "slant"),
    "a fax": (of_a_fax, "aspect"),
    "clothes": (clothes, "novelty"),
    "ones": (ones, "digit"),
}


def config(**settings: Any) -> Config:
    usual: dict[str, Any] = {"grpc_port": 0, "http_port": 0, "grpc_engine": ENGINE, "drift_time_share": 1.0}
    return Config(model_repository=SHIPPED, device="cpu", **(usual | settings))


async def gauges(service: Standalone | Supervisor, name: str = "psi", window: str = "5m") -> dict[str, float]:
    """A gauge of drift by feature, from /metrics."""
    url = f"http://127.0.0.1:{service.http_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        families = list(text_string_to_metric_families(await response.text()))
    return {
        sample.labels["feature"]: sample.value
        for family in families
        if family.name == f"mnist_drift_{name}"
        for sample in family.samples
        if sample.labels["window"] == window
    }


def many(fields: Pixels, count: int) -> list[bytes]:
    return [field.tobytes() for field in np.resize(fields, (count, 28, 28))]


@pytest.mark.parametrize("turn", TURNED)
async def test_turned_traffic_moves_its_gauge_within_a_thousand_pictures(turn: str) -> None:
    turned, feature = TURNED[turn]
    async with (
        Standalone(config(), get_logger()) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        await client.classify(many(FIELDS, 1000))
        ordinary = await gauges(server)
        await client.classify(many(turned(FIELDS), 1000))
        found = await gauges(server)
    assert max(ordinary.values()) < 0.1
    assert found[feature] > ALERTS_AT  # though half of the window is still ordinary


async def test_pictures_of_the_other_polarity_move_their_gauge() -> None:
    from PIL import Image

    async with (
        Standalone(config(), get_logger()) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        dark_on_light = [file_of(Image.fromarray(np.pad(255 - field, 8, constant_values=255))) for field in FIELDS]
        await client.classify(dark_on_light)
        ordinary = await gauges(server)
        await client.classify([file_of(Image.fromarray(np.pad(field, 8))) for field in FIELDS])
        found = await gauges(server)
    assert ordinary["polarity"] < 0.1
    assert found["polarity"] > 2
    assert found["ink"] < 0.1  # the intake puts it right: nothing else shows


@pytest.mark.parametrize(("turn", "feature"), [("slanted", "slant"), ("wide", "aspect")])
async def test_pictures_of_another_shape_move_its_gauge_and_no_other(turn: str, feature: str) -> None:
    from PIL import Image

    upright = np.zeros(len(FIELDS))
    turned = steeply_slanted(FIELDS) if turn == "slanted" else pictures(FIELDS, upright, width=1.7)
    usual = pictures(FIELDS[:FEWEST], upright[:FEWEST])
    async with (
        Standalone(config(), get_logger()) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        await client.classify([file_of(Image.fromarray(picture)) for picture in usual])
        ordinary = await gauges(server)
        await client.classify([file_of(Image.fromarray(picture)) for picture in turned])
        found = await gauges(server)
    assert max(ordinary.values()) < ALERTS_AT
    assert [name for name, value in found.items() if value > ALERTS_AT] == [feature]
    assert found["polarity"] == found["remark"] == 0


async def test_the_counts_of_all_workers_are_in_one_gauge() -> None:
    async with Supervisor(config(), get_logger(), workers=2) as service:
        for _ in range(4):  # each over a connection of its own, which the kernel gives to either worker
            async with AsyncDigitClient(f"127.0.0.1:{service.grpc_port}") as client:
                await client.classify(many(inverted(FIELDS), 100))
        assert (await gauges(service, "images"))["ink"] == 400
        assert (await gauges(service))["ink"] > 2


async def test_a_service_that_does_not_observe_has_no_gauges() -> None:
    async with (
        Standalone(config(drift_time_share=0.0), get_logger()) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        await client.classify(many(FIELDS, 400))
        assert await gauges(server) == {}


def populations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pixels]:
    made = load_other_handwriting(tmp_path_factory.mktemp("cache"), "evaluation")
    digits = {kind: made.pixels[made.kinds == kind] for kind in ("pen digits, held out", "maps, held out")}
    return {"MNIST": DIGITS["pixels"]} | digits


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_ordinary_traffic_of_any_known_population_and_of_all_together_moves_nothing(
    count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    known = populations(tmp_path_factory)
    async with (
        Standalone(config(), get_logger()) as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        for pixels in known.values():
            generator = np.random.default_rng(1)
            for _ in range(count // 1000):
                rows = generator.integers(len(pixels), size=1000)
                await client.classify(many(pixels[rows].reshape(-1, 28, 28), 1000))
                found = await gauges(server)
                assert max(found.values()) < ALERTS_AT, found
        assert (await gauges(server, "images"))["ink"] == count * len(known)
