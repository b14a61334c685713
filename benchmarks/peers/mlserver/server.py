"""MLServer, in process: `PORT HTTP_PORT METRICS_PORT GRAPH FOLDER BATCH`. BATCH above 0 turns adaptive batching on."""

import json
import os
import sys
from pathlib import Path

BATCH_SECONDS = 0.001  # the longest that a request waits for others


def main(port: str, http_port: str, metrics_port: str, graph_file: str, folder: str, batch: str) -> None:
    """Writes MLServer's two settings files into `folder` and starts it there."""
    settings = {
        "parallel_workers": 0,
        "host": "127.0.0.1",
        "grpc_port": int(port),
        "http_port": int(http_port),
        "metrics_port": int(metrics_port),
        "metrics_dir": folder,
        "debug": False,
    }
    model = {
        "name": "mnist",
        "implementation": "benchmarks.peers.mlserver.runtime.Digits",
        "parameters": {"uri": graph_file},
        "max_batch_size": int(batch),
        "max_batch_time": BATCH_SECONDS if int(batch) else 0.0,
    }
    Path(folder, "settings.json").write_text(json.dumps(settings))
    Path(folder, "model-settings.json").write_text(json.dumps(model))
    executable = Path(sys.executable).with_name("mlserver")
    os.execv(executable, [str(executable), "start", folder])


if __name__ == "__main__":
    main(*sys.argv[1:])
