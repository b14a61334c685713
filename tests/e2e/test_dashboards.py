"""A real Prometheus runs every query of the dashboards on what a real server counts, and the figures are right."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mnist_digits import AsyncDigitClient
from serving.process.standalone import Standalone
from tests.support.deployment import DASHBOARDS, panel_queries
from tests.support.processes import completed
from tests.support.prometheus import address_when_ready, answer, prometheus
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

BEFORE, AFTER = 1_795_000_000, 1_795_043_200  # seconds since the epoch, half a day apart
ASKED = AFTER + 60
Snapshot = list[tuple[str, dict[str, str], float]]
pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="no Prometheus (Debian package prometheus)")


async def snapshot(server: Standalone) -> Snapshot:
    """All samples of /metrics."""
    url = f"http://127.0.0.1:{server.http_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        families = text_string_to_metric_families(await response.text())
        return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def open_metrics(snapshots: dict[int, Snapshot]) -> str:
    """The samples as scraped at these times by the job of the dashboards."""
    lines = []
    for seconds, samples in snapshots.items():
        for name, labels, value in samples:
            named = ",".join(f"{key}={json.dumps(text)}" for key, text in {**labels, "job": "digits"}.items())
            lines.append(f'{name}{{{named},instance="a:8080"}} {value} {seconds}')
    return "\n".join([*lines, "# EOF\n"])


@contextmanager
def holding(folder: Path, snapshots: dict[int, Snapshot]) -> Iterator[str]:
    """Address of a Prometheus that holds these samples and scrapes nothing."""
    samples, configuration, data = folder / "samples", folder / "prometheus.yml", folder / "data"
    samples.write_text(open_metrics(snapshots))
    configuration.write_text("global: {}\n")
    made = completed(["promtool", "tsdb", "create-blocks-from", "openmetrics", samples, data])
    assert made.returncode == 0, made.stderr
    with prometheus(configuration, data, "--storage.tsdb.retention.time=100y") as address:
        yield address


@pytest.mark.parametrize("swapped", [False, True])
def test_prometheus_may_say_that_it_is_ready_before_it_says_where(swapped: bool) -> None:
    log = ['msg="Listening on" address=127.0.0.1:9', 'msg="Server is ready to receive web requests."', "it goes on"]
    lines = iter([log[1], log[0], log[2]] if swapped else log)
    assert address_when_ready(lines) == "127.0.0.1:9"
    assert [*lines] == ["it goes on"]  # a pipe would have no more for now: the reader would wait
    with pytest.raises(AssertionError, match="Listening"):
        address_when_ready([log[0]])


async def test_queries_of_the_dashboards_run_and_those_of_feedback_have_the_right_values(
    start_server: StartServer, tmp_path: Path
) -> None:
    async with (
        start_server(store=tmp_path / "store.db") as server,
        AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        before = await snapshot(server)
        predictions = await client.classify([image_of(digit) for digit in range(10)])
        for prediction in predictions:  # two of ten were wrong
            await client.feedback(prediction, prediction.digit if prediction.digit < 8 else 0)
        after = await snapshot(server)
    probability = predictions[0].probability
    queries = [(title, target["expr"]) for title, target in panel_queries()]
    queries += [("annotation", each["expr"]) for board in DASHBOARDS for each in board["annotations"]["list"]]
    with holding(tmp_path, {BEFORE: before, AFTER: after}) as address:
        answers = {
            (title, expression): answer(address, expression.replace("$__rate_interval", "1d"), ASKED)
            for title, expression in queries
        }
    found = {
        expression: [float(series["value"][1]) for series in result]
        for (title, expression), result in answers.items()
        if "mnist_feedback" in expression or "mnist_store" in expression
    }
    assert len(found) == 7
    assert all(found.values()), found  # none is without a series
    (accuracy,) = (values for expression, values in found.items() if "truth!=" in expression)
    (brier,) = (values for expression, values in found.items() if "squared_error" in expression)
    (calibration,) = (values for expression, values in found.items() if "abs(" in expression)
    assert accuracy == pytest.approx([0.8])
    assert brier == pytest.approx([0.8 * (1 - probability) ** 2 + 0.2 * probability**2])
    assert calibration == pytest.approx([probability - 0.8])
