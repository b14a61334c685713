"""Tables of results for a terminal."""

from rich.console import Console
from rich.table import Table

from benchmarks.compare.results import Results
from benchmarks.load.measurement import Load, spread_of


def print_results(results: Results, reference: str, console: Console) -> None:
    """Prints a table for each load and rate, and one for memory and start.

    `reference`: the server of all ratios; under a load that it did not get, our first that did.
    """
    for load in results.loads():
        console.print(_load_table(results, load, reference))
    for rate in dict.fromkeys(rate for measured in results.tails.values() for rate in measured):
        console.print(_tail_table(results, rate))
    console.print("medians of the rounds, ranges in brackets; CPU time of all processes of the server, without h2load")
    console.print(_footprint_table(results))
    for name, why in results.failed.items():
        console.print(f"failed: {name}: {why}", markup=False)


def _load_table(results: Results, load: Load, reference: str) -> Table:
    loaded = [name for name in results.titles if load in results.rounds.get(name, {})]  # in the order of the plan
    if reference not in loaded:
        reference = next((name for name in loaded if name.startswith("ours")), loaded[0])
    table = Table(
        *("server", "requests/s", "p50 ms", "p99 ms", "CPU us/request", f"ratio: {results.titles[reference]} to it"),
        title=load.title,
    )
    for name in loaded:
        table.add_row(
            results.titles[name],
            str(results.spread(name, load, lambda each: each.requests_per_second)),
            f"{results.spread(name, load, lambda each: each.p50_ms).median:.2f}",
            f"{results.spread(name, load, lambda each: each.p99_ms).median:.2f}",
            f"{results.spread(name, load, lambda each: each.cpu_us_per_request).median:,.0f}",
            "" if name == reference else str(results.ratio(reference, name, load)),
        )
    return table


def _tail_table(results: Results, rate: float) -> Table:
    title = f"{rate:,.0f} requests/s of 1 digit at a fixed rate; milliseconds from when each was due"
    table = Table("server", "p50", "p99", "p99.9", "worst", "no response", "sent late, p99", title=title)
    for name, measured in results.tails.items():
        if not (rounds := measured.get(rate, [])):
            continue
        table.add_row(
            results.titles[name],
            str(spread_of([each.p50_ms for each in rounds])),
            str(spread_of([each.p99_ms for each in rounds])),
            str(spread_of([each.p999_ms for each in rounds])),
            f"{max(each.worst_ms for each in rounds):,.1f}",
            str(sum(each.unanswered for each in rounds)),
            str(spread_of([each.sent_late_ms for each in rounds])),
        )
    return table


def _footprint_table(results: Results) -> Table:
    columns = ("server", "MiB (PSS) when ready", "after its loads", "seconds to the first right answer")
    table = Table(*columns, title="each server alone")
    for name, footprint in results.alone.items():
        ready, loaded = f"{footprint.ready_mebibytes:.0f}", f"{footprint.memory_mebibytes:.0f}"
        table.add_row(results.titles[name], ready, loaded, f"{footprint.start_seconds:.1f}")
    return table
