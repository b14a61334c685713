"""Folders with the clients, as their registries have them: from PyPI, from npm, and from Debian's packages."""

import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT, completed, without_settings

INSTALL_SECONDS = 600.0
# A Debian newer than the machine: perf_analyzer needs its C library, HAProxy and nginx are of the same age.
DEBIAN = "trixie"
DEBIAN_PACKAGES = ("curl", "haproxy", "libstdc++6", "nginx")
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class AbsentError(Exception):
    """A client that this machine cannot have, with the reason."""


@dataclass(frozen=True, slots=True)
class Environments:
    """Makes each environment once, below `folder`."""

    folder: Path

    def python(self, name: str, packages: Sequence[str], newer_library: bool = False) -> Path:
        """Returns a virtual environment with these packages.

        `newer_library`: also those that ask for a newer C library than the machine's; Debian's is laid under them.
        """
        folder = self.folder / "python" / name

        def make() -> None:
            uv = [sys.executable, "-m", "uv"]
            _run([*uv, "venv", "--quiet", "--python", sys.executable, folder])
            system = ["--python-platform", f"{platform.machine()}-manylinux_2_39"] if newer_library else []
            _run([*uv, "pip", "install", "--quiet", "--python", folder, *system, *packages])

        self._once(folder, packages, make)
        return folder

    def node(self, name: str, packages: Sequence[str]) -> Path:
        """Returns a folder with these packages in node_modules."""
        folder = self.folder / "node" / name
        if not shutil.which("npm"):
            raise AbsentError("no node on this machine")
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        self._once(folder, packages, lambda: _run(["npm", "install", "--prefix", folder, *quiet, *packages]))
        return folder

    def debian(self) -> Path:
        """Returns a folder with Debian's packages, unpacked; nothing is installed on the machine."""
        folder = self.folder / "debian"
        if not (shutil.which("apt-get") and SOURCES.exists()):
            raise AbsentError("no packages of Debian on this machine")

        def make() -> None:
            for needed in ("lists/partial", "cache/archives/partial", "root"):
                (folder / needed).mkdir(parents=True)
            (folder / "status").touch()  # nothing is installed: dependencies are downloaded too
            [address, *_] = re.findall(r"^URIs: (\S+)", SOURCES.read_text(), re.M)
            (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {address} {DEBIAN} main\n")
            settings = {
                "Dir::Etc::sourcelist": folder / "sources.list",
                "Dir::Etc::sourceparts": "-",
                "Dir::State::lists": folder / "lists",
                "Dir::State::status": folder / "status",
                "Dir::Cache": folder / "cache",
                "APT::Sandbox::User": "root",  # its own user may not write here
            }
            apt = [
                "apt-get",
                "--quiet",
                *(word for key, value in settings.items() for word in ("-o", f"{key}={value}")),
            ]
            _run([*apt, "update"])
            _run([*apt, "install", "--yes", "--no-install-recommends", "--download-only", *DEBIAN_PACKAGES])
            for package in sorted((folder / "cache/archives").glob("*.deb")):
                _run(["dpkg-deb", "--extract", package, folder / "root"])

        self._once(folder, DEBIAN_PACKAGES, make)
        return folder

    def started_by_debian(self, program: Path | str) -> list[str | Path]:
        """Words that start a program with Debian's libraries: one of Debian's by its path there, or any other file."""
        root = self.debian() / "root"
        [loader] = root.glob("usr/lib/*/ld-linux-*.so.*")
        return [loader, "--library-path", loader.parent, root / program]

    def debian_version(self, package: str) -> str:
        """Returns the version of one of Debian's packages, as upstream numbers it."""
        [file] = (self.debian() / "cache/archives").glob(f"{package}_*.deb")
        return re.sub(r"^.*?(%3a)?([\d.]+).*", r"\2", file.name.split("_")[1])

    def _once(self, folder: Path, packages: Sequence[str], make: Callable[[], None]) -> None:
        """Makes the folder anew, unless it was made to the end with the same packages."""
        made = folder / "made.json"
        if made.exists() and json.loads(made.read_text()) == list(packages):
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make()
        made.write_text(json.dumps(list(packages)))


def python_version(environment: Path, package: str) -> str:
    """Returns the version of an installed package."""
    script = f"from importlib.metadata import version; print(version({package!r}))"
    return completed([environment / "bin/python", "-c", script]).stdout.strip()


def node_version(environment: Path, package: str) -> str:
    """Returns the version of an installed package."""
    return str(json.loads((environment / "node_modules" / package / "package.json").read_text())["version"])


def _run(command: Sequence[str | Path]) -> None:
    try:
        done = completed(command, seconds=INSTALL_SECONDS, cwd=ROOT, env=without_settings())
    except subprocess.TimeoutExpired:
        raise AbsentError(f"{command[0]} took more than {INSTALL_SECONDS:.0f} s") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and "complete log" not in line]
        raise AbsentError(without_addresses(" ".join(lines[-3:])) or f"exit status {done.returncode}")


def without_addresses(text: str) -> str:
    """Returns a message less what is of this machine: addresses of registries, and where this checkout lies."""
    return re.sub(r"\w+://\S+|\b[\w-]+(\.[\w-]+)*\.(com|io|net|org)\b", "…", text).replace(f"{ROOT}/", "")
