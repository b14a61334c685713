"""The client that openapi-python-client makes of our description: files, forms, JSON."""

import importlib
import json
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.programs.calls import PICTURE, report

URL = f"http://{sys.argv[2]}"
PACKAGE = "handwritten_digits_client"


def generate(folder: Path) -> None:
    description = folder / "openapi.json"
    description.write_text(json.dumps(httpx.get(f"{URL}/openapi.json").json()))
    command: list[str | Path] = [
        Path(sys.executable).with_name("openapi-python-client"),
        "generate",
        "--path",
        description,
    ]
    subprocess.run([*command, "--output-path", folder / "made"], check=True, capture_output=True)
    sys.path.insert(0, str(folder / "made"))


def classify(body: Any) -> Any:
    client = importlib.import_module(PACKAGE).Client(base_url=URL)
    answer = importlib.import_module(f"{PACKAGE}.api.default.classify").sync(client=client, body=body)
    return [each.digit for each in answer.predictions] if hasattr(answer, "predictions") else answer.digit


def file() -> Any:
    return importlib.import_module(f"{PACKAGE}.types").File(payload=BytesIO(PICTURE), file_name="three.png")


def model(name: str) -> Any:
    return getattr(importlib.import_module(f"{PACKAGE}.models"), name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        generate(Path(made))
        pixels = [0] * 784
        report(
            {
                "file": (lambda: classify(file()), 3),
                "form": (lambda: classify(model("ClassifyFilesBody")(file=file())), 3),
                "JSON": (lambda: classify(model("Images").from_dict({"images": [pixels] * 2})) is not None, True),
            }
        )
