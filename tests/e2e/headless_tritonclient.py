"""tritonclient in a process and an environment of its own: calls a headless Service until its standard input ends.

`python headless_tritonclient.py TARGET`. Prints a line once it is answered, then what became of its calls as JSON.
"""

import json
import sys
import threading
from collections import Counter

import numpy as np
import tritonclient.grpc as triton

CALLERS = 4
# tritonclient neither balances nor retries by itself: docs/kubernetes.md has this configuration for its users.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "inference.GRPCInferenceService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
OPTIONS = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.dns_min_time_between_resolutions_ms", 5000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


def main() -> None:
    images = np.zeros((1, 784), np.uint8)
    images[0, 3] = 255  # a 3, as the tiny model reads it
    given = triton.InferInput("pixels", [1, 784], "UINT8")
    given.set_data_from_numpy(images)
    outcomes: Counter[str] = Counter()
    client = triton.InferenceServerClient(sys.argv[1], channel_args=OPTIONS)
    is_over, is_answered = threading.Event(), threading.Event()

    def call() -> None:
        while not is_over.is_set():
            try:
                digit = client.infer("mnist", [given]).as_numpy("digit")
                outcomes["answered" if digit.tolist() == [[3]] else "wrong"] += 1
            except triton.InferenceServerException as error:
                outcomes[f"{error.status()}: {error.message()}"] += 1
            is_answered.set()

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    is_answered.wait()
    print("calling", flush=True)
    sys.stdin.read()
    is_over.set()
    for caller in callers:
        caller.join()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
