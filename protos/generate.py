"""Generates the Python code of every .proto with the pinned grpcio-tools: `python -m protos.generate [FOLDER]`."""

import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent


def generate(target: Path) -> None:
    """Writes the generated modules below `target`, in the folders of their .proto files."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"--proto_path={ROOT}", *outputs, *sources]) != 0:
        raise SystemExit("protoc failed: see the message above")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
