"""`python -m protos.generate [FOLDER]`: generates the Python code of every .proto with the pinned grpcio-tools."""

import shutil
import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parent.parent
CLIENT = Path("client/mnist_digits")
CLIENT_CONTRACT = Path("protos/mnist/v1/digits.proto")
# Contracts of others. A program that also imports another library's code of them, such as tritonclient, would register
# each message twice in the process's default pool, which protobuf refuses (kserve/kserve#3099).
FOREIGN = Path("protos/inference")


def generate(target: Path) -> None:
    """Writes the generated modules below `target`, in the folders of their .proto files, and the client's two files."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
    _run_protoc(*(f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")), *sources)
    for module in (target / FOREIGN).glob("*_pb2.py"):
        _give_own_pool(module)
    _describe_to_client(target)


def _run_protoc(*arguments: str) -> None:
    # In a process of its own: the compiler may crash where other libraries have loaded protobuf's C++ code.
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT}", *arguments]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("protoc failed: see the message above")


def _describe_to_client(target: Path) -> None:
    """Writes digits.binpb, a serialized FileDescriptorProto, and proto.pyi for mnist_digits/proto.py."""
    folder = target / CLIENT
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "digits.binpb"
    _run_protoc(f"--descriptor_set_out={description}", str(CLIENT_CONTRACT))
    [file] = FileDescriptorSet.FromString(description.read_bytes()).file
    description.write_bytes(file.SerializeToString())
    shutil.copyfile(target / CLIENT_CONTRACT.with_name("digits_pb2.pyi"), folder / "proto.pyi")


def _give_own_pool(module: Path) -> None:
    """Makes a generated module register its messages in a pool of its own (`DESCRIPTOR.pool`)."""
    shared, own = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    text = module.read_text()
    if text.count(shared) != 1:
        raise SystemExit(f"{module}: expected {shared} once; protoc writes something new, see protos/generate.py")
    module.write_text(text.replace(shared, own))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
