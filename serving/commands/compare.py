"""`python -m serving versions compare`: what a running server's shadow has found, as a table."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from urllib.error import URLError
from urllib.request import urlopen

import click
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from serving.options import CONTEXT, setting_options
from serving.setting_values import is_unix
from serving.shadow.counts import ANSWERS, JUDGED, OUTCOMES

SECONDS = 10.0  # for the server to answer
MOST_BYTES = 2**25  # of its metrics

Values = Mapping[tuple[str, ...], float]  # by the metric's name without its prefix, and its labels


@click.command(context_settings=CONTEXT)
@click.option("--url", help="address of the server's metrics  [default: by the settings below]")
@setting_options(("host", "http_port", "metrics_address"))
def compare(url: str | None, host: str, http_port: int, metrics_address: str) -> None:
    """Shows where the version in the shadow (--shadow) and the served one differ, and which one was right.

    Reads the metrics of a running server: those of all its workers, since it started.
    """
    if url is None and is_unix(host) and not metrics_address:
        raise click.UsageError("a server on a Unix socket shows its metrics here only with --metrics-address")
    samples = _samples(url or f"http://{metrics_address or _address(host, http_port)}/metrics")
    candidate = next((each.labels["version"] for each in samples if each.name == "mnist_shadow_loaded"), None)
    if candidate is None:
        raise click.ClickException("the server has no version in the shadow: start it with --shadow VERSION:SHARE")
    for line in _lines(candidate, samples):
        click.echo(line)


def _address(host: str, port: int) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _samples(url: str) -> list[Sample]:
    try:
        with urlopen(url, timeout=SECONDS) as response:
            text = response.read(MOST_BYTES).decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (URLError, OSError, ValueError) as error:  # ValueError: no URL, or what comes is no metrics
        raise click.ClickException(f"{url}: {error}: is the server running there? Another: --url") from error


def _lines(candidate: str, samples: Sequence[Sample]) -> Iterator[str]:
    values: dict[tuple[str, ...], float] = defaultdict(float)
    for each in samples:
        if each.name.startswith("mnist_"):
            names = ("outcome", "served", "candidate", "right", "reason")
            labels = [each.labels[name] for name in names if name in each.labels]
            values[each.name.removeprefix("mnist_"), *labels] += each.value
    versions = {each.labels["served_version"] for each in samples if "served_version" in each.labels}
    served = max(versions, key=int, default="0")
    images = sum(values["shadow_images_total", outcome] for outcome in OUTCOMES)
    state = "" if values["shadow_loaded",] else ", which is not loaded: see shadow_refused in the server's log"
    if not images:
        yield f"version {candidate}{state}: no image compared yet"
    else:
        yield f"version {candidate}{state} against version {served}, on {images:,.0f} images"
        yield ""
        yield from _outcomes(values, images, served, candidate)
        yield ""
        yield from _seconds(values, images, served, candidate)
        yield from _judged(values, served, candidate)
        yield from _disagreements(values, served, candidate)
    yield ""
    dropped = {reason: values["shadow_dropped_total", reason] for reason in ("busy", "full")}
    left_out = dropped | {reason: values["shadow_uncompared_total", reason] for reason in ("not_loaded", "raised")}
    words = ", ".join(f"{reason.replace('_', ' ')} {count:,.0f}" for reason, count in left_out.items())
    yield f"images chosen and not compared: {words}; restarts: {values['shadow_restarts_total',]:,.0f}"


def _outcomes(values: Values, images: float, served: str, candidate: str) -> Iterator[str]:
    names = ("same answer", "another digit", f"refused by {served} only", f"refused by {candidate} only")
    for name, outcome in zip(names, OUTCOMES, strict=True):
        count = values["shadow_images_total", outcome]
        yield f"{name:<20}{count / images:>9.2%}{count:>12,.0f}"


def _seconds(values: Values, images: float, served: str, candidate: str) -> Iterator[str]:
    per_image = {candidate: 1e3 * values["shadow_inference_seconds_sum",] / images}
    if answered := values["batch_size_sum",]:
        per_image[served] = 1e3 * values["inference_seconds_sum",] / answered
    words = ", ".join(
        f"{version}: {per_image[version]:.3f} ms" for version in (served, candidate) if version in per_image
    )
    yield f"inference, an image {words}"


def _judged(values: Values, served: str, candidate: str) -> Iterator[str]:
    judged = {right: values["shadow_judged_total", right] for right in JUDGED}
    if total := sum(judged.values()):
        yield (
            f"feedback on {total:,.0f} images: both right {judged['both']:,.0f}, only {served}"
            f" {judged['served']:,.0f}, only {candidate} {judged['candidate']:,.0f}, neither {judged['neither']:,.0f}"
        )


def _disagreements(values: Values, served: str, candidate: str) -> Iterator[str]:
    """Yields the table of differing answers, if there are any, without rows that hold none."""
    rows = {one: [values["shadow_differences_total", one, other] for other in ANSWERS] for one in ANSWERS}
    if not any(map(any, rows.values())):
        return
    yield ""
    yield f"differing answers (rows: version {served}, columns: version {candidate})"
    yield " " * 8 + "".join(f"{answer:>8}" for answer in ANSWERS)
    for answer, row in rows.items():
        if any(row):
            yield f"{answer:>8}" + "".join(f"{count:>8,.0f}" if count else f"{'.':>8}" for count in row)
