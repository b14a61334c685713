"""MLServer: its command `mlserver infer`, and requests that its codecs make, sent by requests."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests
from mlserver.codecs import Base64Codec, NumpyCodec, NumpyRequestCodec, PandasCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestOutput

from tests.conformance.programs.calls import DIGITS, PICTURE, PIXELS, report

ADDRESS = sys.argv[2]


def request(images: Any) -> InferenceRequest:
    return InferenceRequest(inputs=[NumpyCodec.encode_input("pixels", images)])


def commanded(*options: str) -> Any:
    """Digits that `mlserver infer` writes for three requests of one image each."""
    with tempfile.TemporaryDirectory() as folder:
        sent, received = Path(folder) / "requests", Path(folder) / "responses"
        sent.write_text("".join(request(PIXELS[[row]]).model_dump_json() + "\n" for row in range(len(PIXELS))))
        files = ["--input-data-path", str(sent), "--output-data-path", str(received)]
        command = [str(Path(sys.executable).with_name("mlserver")), "infer", "--url", ADDRESS, "--model-name", "mnist"]
        subprocess.run([*command, *files, "--transport", "rest", *options], check=True, stdout=sys.stderr, timeout=60)
        found = sorted(map(json.loads, received.read_text().splitlines()), key=lambda r: r["parameters"]["batch_index"])
    if any("outputs" not in each for each in found):
        return found
    return [output["data"][0] for each in found for output in each["outputs"] if output["name"] == "digit"]


def posted(given: InferenceRequest) -> InferenceResponse:
    url = f"http://{ADDRESS}/v2/models/mnist/infer"
    answer = requests.post(url, data=given.model_dump_json(), timeout=10)
    if not answer.ok:
        raise RuntimeError(answer.text)
    return InferenceResponse.model_validate(answer.json())


def digits(given: InferenceRequest) -> Any:
    [output] = [output for output in posted(given).outputs if output.name == "digit"]
    return NumpyCodec.decode_output(output).ravel().tolist()


def pictures() -> InferenceRequest:
    return InferenceRequest(inputs=[Base64Codec.encode_input("pixels", [PICTURE])])


def by_request_codec() -> InferenceRequest:
    given = NumpyRequestCodec.encode_request(PIXELS)
    given.inputs[0].name = "pixels"  # the codec's own is input-0
    return given


def decoded_by_pandas() -> Any:
    given = request(PIXELS)
    given.outputs = [RequestOutput(name="digit"), RequestOutput(name="refused")]  # a column holds one value a row
    return PandasCodec.decode_response(posted(given))["digit"].tolist()


if __name__ == "__main__":
    report(
        {
            "mlserver infer": (commanded, DIGITS),
            "mlserver infer, batches": (lambda: commanded("--batch-size", "3"), DIGITS),
            "mlserver infer, binary": (lambda: commanded("--binary-data"), DIGITS),
            "NumpyCodec": (lambda: digits(request(PIXELS)), DIGITS),
            "NumpyCodec FP32": (lambda: digits(request((PIXELS / 255).astype("float32"))), DIGITS),
            "NumpyRequestCodec": (lambda: digits(by_request_codec()), DIGITS),
            "Base64Codec": (lambda: digits(pictures()), [3]),
            "PandasCodec decodes": (decoded_by_pandas, DIGITS),
        }
    )
