"""open-inference-openapi, the client that the protocol's OpenAPI description generates, blocking and for asyncio."""

import sys
from typing import Any

from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.errors import BadRequestError
from open_inference.openapi.types import InferenceRequest, RequestInput, TensorData

from tests.conformance.programs.calls import DIGITS, PIXELS, report

URL = f"http://{sys.argv[2]}"
CLIENT = OpenInferenceClient(base_url=URL)


def request(rows: Any = PIXELS) -> Any:
    data = TensorData.parse_obj(rows.ravel().tolist())
    return InferenceRequest(inputs=[RequestInput(name="pixels", shape=rows.shape, datatype="UINT8", data=data)])


def digits(response: Any) -> Any:
    [output] = [output for output in response.outputs if output.name == "digit"]
    return output.data.__root__


async def awaited() -> Any:
    return digits(await AsyncOpenInferenceClient(base_url=URL).model_infer("mnist", request=request()))


def refused() -> str:
    try:
        CLIENT.model_infer("mnist", request=request(PIXELS[:, :3]))
    except BadRequestError:
        return "BadRequestError"
    return "no error"


if __name__ == "__main__":
    version = CLIENT.read_model_metadata("mnist").versions[-1]
    report(
        {
            "live": (CLIENT.check_server_liveness, None),
            "ready": (CLIENT.check_server_readiness, None),
            "model ready": (lambda: CLIENT.check_model_readiness("mnist"), None),
            "version ready": (lambda: CLIENT.check_model_version_readiness("mnist", version), None),
            "server metadata": (lambda: bool(CLIENT.read_server_metadata().name), True),
            "model metadata": (lambda: CLIENT.read_model_metadata("mnist").name, "mnist"),
            "version metadata": (lambda: CLIENT.read_model_version_metadata("mnist", version).name, "mnist"),
            "infer": (lambda: digits(CLIENT.model_infer("mnist", request=request())), DIGITS),
            "version infer": (lambda: digits(CLIENT.model_version_infer("mnist", version, request=request())), DIGITS),
            "wrong shape": (refused, "BadRequestError"),
            "asyncio": (awaited, DIGITS),
        }
    )
