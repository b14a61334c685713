"""Triton Inference Server out of PyTriton's wheel, with a Python backend and its dynamic batcher: `PORT GRAPH FOLDER`.

The wheel holds Triton's own binary and stubs. PyTriton itself would put a proxy process between Triton and the model;
requests go directly to Triton's Python backend, which is faster. The stub embeds Debian's Python 3.11.
"""

import os
import shutil
import sys
from pathlib import Path

import pytriton

HERE = Path(__file__).parent
CONFIG = (HERE / "config.pbtxt").read_text()


def main(port: str, graph_file: str, folder: str) -> None:
    """Lays out a model repository and backends in `folder`, then becomes Triton."""
    wheel = Path(pytriton.__file__).parent / "tritonserver"
    repository, backends = Path(folder, "models"), Path(folder, "backends")
    _lay_out(repository / "mnist", graph_file)
    shutil.copytree(wheel / "backends", backends, dirs_exist_ok=True)
    stub = "triton_python_backend_stub"
    shutil.copy(wheel / "python_backend_stubs" / "3.11" / stub, backends / "python" / stub)
    (backends / "python" / stub).chmod(0o755)
    os.environ["LD_LIBRARY_PATH"] = str(wheel.parents[1] / "nvidia_pytriton.libs")
    os.environ["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    os.environ["PATH"] = f"{sys.prefix}/bin:{os.environ['PATH']}"  # where the stub finds its Python
    binary = wheel / "bin" / "tritonserver"
    binary.chmod(0o755)
    arguments = [
        *("--model-repository", str(repository), "--backend-directory", str(backends)),
        *("--grpc-address", "127.0.0.1", "--grpc-port", port, "--allow-http", "false", "--allow-metrics", "false"),
        *("--cache-directory", str(wheel / "caches")),
    ]
    os.execv(binary, [str(binary), *arguments])


def _lay_out(model: Path, graph_file: str) -> None:
    (model / "1").mkdir(parents=True, exist_ok=True)
    (model / "config.pbtxt").write_text(CONFIG.replace("GRAPH_FILE", graph_file))
    shutil.copy(HERE / "model.py", model / "1" / "model.py")


if __name__ == "__main__":
    main(*sys.argv[1:])
