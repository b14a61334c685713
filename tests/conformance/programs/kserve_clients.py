"""KServe's clients: InferenceRESTClient of versions 1 and 2, and InferenceGRPCClient."""

import sys
from typing import Any

import kserve
from kserve.inference_client import RESTConfig

from tests.conformance.programs.calls import DIGITS, PIXELS, report

ADDRESS, URL = sys.argv[1], f"http://{sys.argv[2]}"


def request(is_binary: bool) -> Any:
    given = kserve.InferInput("pixels", list(PIXELS.shape), "UINT8")
    given.set_data_from_numpy(PIXELS, binary_data=is_binary)
    return kserve.InferRequest(infer_inputs=[given], model_name="mnist")


async def rest(method: str, *arguments: Any, protocol: str = "v2", **options: Any) -> Any:
    async with kserve.InferenceRESTClient(RESTConfig(protocol=protocol, timeout=10)) as client:
        return digits(await getattr(client, method)(URL, *arguments, **options))


async def grpc(method: str, *arguments: Any) -> Any:
    async with kserve.InferenceGRPCClient(url=ADDRESS) as client:
        return digits(await getattr(client, method)(*arguments))


def digits(result: Any) -> Any:
    """Digits of a response; anything else unchanged."""
    if isinstance(result, kserve.InferResponse):
        [found] = [output for output in result.outputs if output.name == "digit"]
        return found.as_numpy().ravel().tolist()
    return [each["digit"] for each in result["predictions"]] if isinstance(result, dict) else result


async def status_of_an_unknown_model() -> int:
    try:
        await rest("infer", request(False), model_name="cats")
    except Exception as error:
        return int(error.response.status_code)  # type: ignore[attr-defined]  # httpx's HTTPStatusError
    return 200


V1 = {"protocol": "v1"}

if __name__ == "__main__":
    report(
        {
            "v1 server live": (lambda: rest("is_server_live", **V1), True),
            "v1 model ready": (lambda: rest("is_model_ready", "mnist", **V1), True),
            "v1 predict": (lambda: rest("infer", {"instances": PIXELS.tolist()}, model_name="mnist", **V1), DIGITS),
            "v2 server live": (lambda: rest("is_server_live"), True),
            "v2 server ready": (lambda: rest("is_server_ready"), True),
            "v2 model ready": (lambda: rest("is_model_ready", "mnist"), True),
            "v2 infer JSON": (lambda: rest("infer", request(False), model_name="mnist"), DIGITS),
            "v2 infer binary": (lambda: rest("infer", request(True), model_name="mnist"), DIGITS),
            "v2 unknown model": (status_of_an_unknown_model, 404),
            "gRPC server live": (lambda: grpc("is_server_live"), True),
            "gRPC server ready": (lambda: grpc("is_server_ready"), True),
            "gRPC model ready": (lambda: grpc("is_model_ready", "mnist"), True),
            "gRPC infer typed": (lambda: grpc("infer", request(False)), DIGITS),
            "gRPC infer raw": (lambda: grpc("infer", request(True)), DIGITS),
        }
    )
