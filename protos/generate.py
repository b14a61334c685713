"""Generates the Python code of every .proto with the pinned grpcio-tools: `python -m protos.generate [FOLDER]`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Contracts that are not ours: a program that also imports somebody else's code of them, such as tritonclient, would
# register each message twice in the process's one pool, which protobuf refuses (kserve/kserve#3099).
FOREIGN = Path("protos/inference")


def generate(target: Path) -> None:
    """Writes the generated modules below `target`, in the folders of their .proto files."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    # A process of its own: beside other libraries that bring protobuf's C++ along, the compiler may crash.
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT}", *outputs, *sources]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("protoc failed: see the message above")
    for module in (target / FOREIGN).glob("*_pb2.py"):
        _give_own_pool(module)


def _give_own_pool(module: Path) -> None:
    """Makes a generated module register its messages in a pool of its own (`DESCRIPTOR.pool`)."""
    shared, own = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    text = module.read_text()
    if text.count(shared) != 1:
        raise SystemExit(f"{module}: expected {shared} once; protoc writes something new, see protos/generate.py")
    module.write_text(text.replace(shared, own))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
