"""Tables show every server of a load, and the ratio of ours to it."""

import io

from rich.console import Console

from benchmarks.compare.results import Results
from benchmarks.compare.tables import print_results
from benchmarks.load.measurement import LOADS, PICTURE_LOADS, Load, Measurement


def printed(rates: dict[str, dict[Load, float]]) -> list[str]:
    """Lines of the tables; "ours" is the reference."""
    results = Results({name: name for name in rates}, {})
    for name, by_load in reversed(rates.items()):  # rounds alternate
        for load, rate in by_load.items():
            results.add(name, load, Measurement(rate, p50_ms=1, p99_ms=2, cpu_us_per_request=3))
    output = io.StringIO()
    print_results(results, "ours", Console(width=130, file=output))
    return output.getvalue().splitlines()


def test_ratios_are_those_of_the_reference() -> None:
    lines = printed({"ours": {LOADS["1"]: 100.0}, "peer": {LOADS["1"]: 50.0}})
    (row,) = (line for line in lines if line.startswith("│ peer"))
    assert "2.00 (2.00 to 2.00)" in row


def test_under_a_load_that_the_reference_did_not_get_ratios_are_those_of_our_first_server() -> None:
    load = PICTURE_LOADS["png-8"]
    lines = printed(
        {"ours": {LOADS["1"]: 1.0}, "peer": {load: 50.0}, "ours-pictures": {load: 150.0}, "ours-one": {load: 75.0}}
    )
    assert sum("ratio: ours-pictures to it" in line for line in lines) == 1
    (row,) = (line for line in lines if line.startswith("│ peer"))
    assert "3.00 (3.00 to 3.00)" in row
