"""Tables of a record, for people: rates by batch size, the service under load, and what failed."""

from typing import Any

Steps = dict[str, dict[str, Any]]


def summary(steps: Steps) -> str:
    """Formats what the steps have found; steps that are missing or failed are named."""
    lines = ["", f"card: {_result(steps, 'machine', {}).get('card', '')}"]
    lines += _start(_result(steps, "start", {}))
    lines += [f"golden  {name:<26} {found}" for name, found in _result(steps, "golden", {}).items()]
    for name in (name for name in steps if name.startswith("rates")):
        lines += [name, *_rates(_result(steps, name, {}))]
    lines += [f"pieces  {size:>5}  {found}" for size, found in _result(steps, "pieces", {}).items()]
    for name, step in steps.items():
        if name.startswith("service"):
            lines += _service(name, step)
    lines += [str(_result(steps, "tune", {}).get("table", ""))]
    lines += [f"FAILED  {name}: {step['error'][:300]}" for name, step in steps.items() if "error" in step]
    return "\n".join(lines) + "\n"


def _start(found: dict[str, Any]) -> list[str]:
    return [f"start   {name:<8} {found[name]}" for name in ("plain", "prepared", "graph") if name in found]


def _rates(found: dict[str, dict[str, float]]) -> list[str]:
    sizes = sorted({size for times in found.values() for size in times}, key=int)  # JSON's keys are strings
    lines = ["images  " + "".join(f"{way:>24}" for way in found)]
    for size in sizes:
        cells = [
            f"{times[size] * 1e6:,.0f} us {int(size) / times[size]:>11,.0f}/s" if size in times else "-"
            for times in found.values()
        ]
        lines.append(f"{size:>6}  " + "".join(f"{cell:>24}" for cell in cells))
    return lines if sizes else []


def _service(name: str, step: dict[str, Any]) -> list[str]:
    found = step.get("result", {})
    facts = [f"{key} {found[key]:.1f}" for key in ("start_seconds", "memory_mib", "card_mib") if found.get(key)]
    lines = [f"{name}: {', '.join(facts)}"]
    for load, measured in found.get("loads", {}).items():
        rate, p50, p99 = (measured[key] for key in ("requests_per_second", "p50_ms", "p99_ms"))
        lines.append(f"    {load:<34} {rate:>9,.0f} requests/s   p50 {p50:.2f} ms   p99 {p99:.2f} ms")
    return lines


def _result(steps: Steps, name: str, otherwise: Any) -> Any:
    return steps.get(name, {}).get("result", otherwise)
