"""curl, as the documents use it."""

import gzip
import json
import subprocess
import sys
from typing import Any

from tests.conformance.programs.calls import PICTURE, RAW, report

URL, *TOOL = f"http://{sys.argv[2]}", *sys.argv[3:]


def curl(*options: str, body: bytes = b"") -> Any:
    command = [*TOOL, "--silent", "--show-error", "--fail-with-body", "--max-time", "10", *options]
    done = subprocess.run(command, input=body, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr.decode()} {done.stdout.decode()}")
    return json.loads(done.stdout) if done.stdout.startswith(b"{") else done.stdout.decode()


def digit(body: bytes, *options: str) -> Any:
    return curl(f"{URL}/v1/classify", "--data-binary", "@-", *options, body=body)["digit"]


def infer() -> Any:
    options = ("-H", "Inference-Header-Content-Length: 0", "--data-binary", "@-")
    outputs = curl(f"{URL}/v2/models/mnist/infer", *options, body=RAW)["outputs"]
    return next(output["data"] for output in outputs if output["name"] == "digit")


if __name__ == "__main__":
    report(
        {
            "picture": (lambda: digit(PICTURE), 3),
            "raw pixels": (lambda: digit(RAW), 2),
            "form": (lambda: curl(f"{URL}/v1/classify", "-F", "file=@-", body=PICTURE)["digit"], 3),
            "gzip": (lambda: digit(gzip.compress(PICTURE), "-H", "Content-Encoding: gzip"), 3),
            "chunked": (lambda: digit(PICTURE, "-H", "Transfer-Encoding: chunked"), 3),
            "Expect: 100-continue": (lambda: digit(PICTURE, "-H", "Expect: 100-continue"), 3),
            "infer, raw body": (infer, [2]),
            "metrics, --compressed": (lambda: "mnist_ready 1.0" in curl(f"{URL}/metrics", "--compressed"), True),
            "readyz": (lambda: curl(f"{URL}/readyz", "--write-out", "%{http_code}")[-3:], "200"),
        }
    )
