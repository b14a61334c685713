"""requests: pictures and pixels as bodies, packed and plain, and the probes."""

import gzip
import sys
from base64 import b64encode
from typing import Any

import requests

from tests.conformance.programs.calls import DIGITS, PICTURE, PIXELS, RAW, report

URL = f"http://{sys.argv[2]}"
SESSION = requests.Session()


def post(path: str, **options: Any) -> Any:
    answer = SESSION.post(URL + path, timeout=10, **options)
    return answer.json() if answer.ok else f"{answer.status_code} {answer.text}"


def status(path: str) -> int:
    return SESSION.get(URL + path, timeout=10).status_code


def predict() -> Any:
    return [
        each["digit"] for each in post("/v1/models/mnist:predict", json={"instances": PIXELS.tolist()})["predictions"]
    ]


def files() -> Any:
    return post("/v1/classify", files=[("a", ("three.png", PICTURE)), ("b", ("two.bin", RAW))])["predictions"]


if __name__ == "__main__":
    packed = {"data": gzip.compress(PICTURE), "headers": {"Content-Encoding": "gzip"}}
    report(
        {
            "picture": (lambda: post("/v1/classify", data=PICTURE)["digit"], 3),
            "raw pixels": (lambda: post("/v1/classify", data=RAW)["digit"], 2),
            "gzip": (lambda: post("/v1/classify", **packed)["digit"], 3),
            "chunked": (lambda: post("/v1/classify", data=iter([PICTURE[:100], PICTURE[100:]]))["digit"], 3),
            "form": (lambda: post("/v1/classify", files={"file": ("three.png", PICTURE)})["digit"], 3),
            "two files": (lambda: [each["digit"] for each in files()], [3, 2]),
            "JSON, base64": (lambda: post("/v1/classify", json={"image": b64encode(PICTURE).decode()})["digit"], 3),
            "JSON, numbers": (lambda: post("/v1/classify", json=list(RAW))["digit"], 2),
            "PUT": (lambda: SESSION.put(f"{URL}/v1/classify/", data=RAW, timeout=10).json()["digit"], 2),
            "docs": (lambda: status("/docs"), 200),
            "explain": (lambda: post("/v1/explain", data=PICTURE)["prediction"]["digit"], 3),
            "v1 predict": (predict, DIGITS),
            "livez": (lambda: status("/livez"), 200),
            "readyz": (lambda: status("/readyz"), 200),
            "metrics": (lambda: status("/metrics"), 200),
            "page": (lambda: status("/"), 200),
            "unknown path": (lambda: status("/cats"), 404),
        }
    )
