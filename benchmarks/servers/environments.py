"""A virtual environment for each peer, made on demand from its locked requirements in a folder that git ignores."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parents[1] / "peers"
DEBIAN_PYTHON = Path("/usr/bin/python3.11")


class InstallError(Exception):
    """An environment cannot be made. The message names the remedy."""


def environment(peer: str, folder: Path, python: Path | None = None) -> Path:
    """The Python of the environment for benchmarks/peers/<peer>, which is made first if its lock file has changed.

    Raises InstallError.
    """
    requirements = PEERS / peer / "requirements.txt"
    checksum = hashlib.sha256(requirements.read_bytes()).hexdigest()
    venv, mark = folder / peer, folder / peer / "installed.sha256"
    if not (mark.exists() and mark.read_text() == checksum):
        print(f"installing {requirements.relative_to(PEERS.parents[1])} into {venv} ...", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        _install(venv, requirements, python or Path(sys.executable))
        mark.write_text(checksum)
    return (venv / "bin" / "python").absolute()


def _install(venv: Path, requirements: Path, python: Path) -> None:
    if not python.exists():
        raise InstallError(f"{python} is needed: apt-get install python3.11 python3.11-venv libpython3.11")
    uv = Path(sys.executable).with_name("uv")
    installer = [
        *(str(uv), "pip", "install", "--quiet", "--require-hashes", "--python", str(venv / "bin" / "python")),
        # Copies: with links, the servers would share the pages of their libraries, and each would look smaller.
        *("--link-mode", "copy", "-r", str(requirements)),
    ]
    try:
        subprocess.run([str(uv), "venv", "--quiet", "--python", str(python), str(venv)], check=True)
        subprocess.run(installer, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InstallError(f"{requirements} cannot be installed: {error}") from error
