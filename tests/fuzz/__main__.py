"""`python -m tests.fuzz TARGET --runs N`: libFuzzer, through atheris, on one of the targets.

1. Exit status 0: all inputs were run and nothing was found. Otherwise the finding's traceback stands on stderr and its
   input, which `python -m tests.fuzz TARGET --input FILE` runs again, in the folder of --findings.
2. The committed corpus is read and never written. New inputs go to --corpus, or are forgotten.
3. What stands behind `--` goes to libFuzzer as it is.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

HERE = Path(__file__).parent
SECONDS_AN_INPUT = 10
MAX_MEMORY_MB = 4096  # of the whole run: atheris itself keeps some 10 KB an input
MAX_INPUT_BYTES = {
    "intake": 6_000,
    "read": 6_000,
    "classify": 8_000,
    "infer": 8_000,
}  # a little more than the longest seed

# serving's and Pillow's Python code is what coverage guides the fuzzer through. So nothing imports it earlier, and the
# parsers, which Pillow imports when it opens the first file, are imported here.
with atheris.instrument_imports(include=["serving", "PIL"], enable_loader_override=False):
    from PIL import (
        BmpImagePlugin,  # noqa: F401
        MpoImagePlugin,  # noqa: F401
        PngImagePlugin,  # noqa: F401
        TiffImagePlugin,  # noqa: F401
        WebPImagePlugin,  # noqa: F401
    )

    from tests.fuzz.png_mutator import mutate
    from tests.fuzz.targets import OF_PICTURES, TARGETS, bounded, warnings_are_findings


def main(arguments: list[str]) -> None:
    """Runs the fuzzer, which ends the process."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parsed = _parser().parse_args(arguments[:end])
    target = bounded(TARGETS[parsed.target])
    warnings_are_findings()
    with tempfile.TemporaryDirectory() as scratch:
        again = f"{sys.executable} -m tests.fuzz {parsed.target} --"  # how libFuzzer, when it merges, calls itself
        options = [again, *_options(parsed, Path(scratch)), *arguments[end + 1 :]]
        atheris.Setup(options, target, **({"custom_mutator": mutate} if parsed.target in OF_PICTURES else {}))
        atheris.Fuzz()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Fuzzes one target.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=-1, help="inputs to run, the corpus included; -1: no end")
    parser.add_argument("--seconds", type=int, default=0, help="seconds to run; 0: no end")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; 0: another each time")
    parser.add_argument("--corpus", type=Path, help="where inputs that reach new code are kept, and read from")
    parser.add_argument("--findings", type=Path, default=Path("runs/fuzz"), help="where the inputs of findings go")
    parser.add_argument("--input", type=Path, help="runs this one file, or each file of this folder, and nothing else")
    return parser


def _options(parsed: argparse.Namespace, scratch: Path) -> list[str]:
    """libFuzzer's command line."""
    parsed.findings.mkdir(parents=True, exist_ok=True)
    corpus = "intake" if parsed.target in OF_PICTURES else parsed.target
    options = [
        f"-timeout={SECONDS_AN_INPUT}",
        f"-rss_limit_mb={MAX_MEMORY_MB}",
        f"-max_len={MAX_INPUT_BYTES[parsed.target]}",
        f"-artifact_prefix={parsed.findings}/{parsed.target}-",
        f"-dict={HERE / corpus}.dict",
        "-print_final_stats=1",
    ]
    if parsed.input:
        files = [parsed.input] if parsed.input.is_file() else sorted(p for p in parsed.input.rglob("*") if p.is_file())
        return [*options, *map(str, files)]
    new = parsed.corpus or scratch
    new.mkdir(parents=True, exist_ok=True)
    limits = [f"-runs={parsed.runs}", f"-max_total_time={parsed.seconds}", f"-seed={parsed.seed}"]
    return [*options, *limits, str(new), str(HERE / "corpus" / corpus)]


if __name__ == "__main__":
    main(sys.argv[1:])
