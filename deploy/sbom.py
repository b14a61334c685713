"""Writes the bill of materials of an image, CycloneDX 1.6: python deploy/sbom.py IMAGE deploy/sbom/serving.cdx.json

The same image gives the same bytes: no time, no serial number, everything sorted. Needs a Docker engine and
cyclonedx-bom.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterable, Mapping
from email.parser import Parser
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

# Collects metadata alone, by the image's own tar: no program of ours runs in the image, and no package is imported.
COLLECT = (
    "tar --create --dereference --ignore-failed-read var/lib/dpkg/status etc/os-release"
    " opt/venv/pyvenv.cfg opt/venv/wheels.txt opt/venv/lib/python3*/site-packages/*.dist-info/METADATA"
)


def bill_of(image: str) -> Bom:
    """Returns the bill of an image: application, Python packages, interpreter, operating system and its packages."""
    with TemporaryDirectory(prefix="sbom-") as temporary:
        root = Path(temporary) / "image"
        _extract(image, root)
        application = _application(_labels(image))
        system, *debian = _debian(root)
        bom = _python_packages(root, Path(temporary) / "metadata")
        interpreter = _interpreter(root)
        contents = [interpreter, system, *bom.components]
        bom.metadata.component = application
        bom.components.update([interpreter, system, *debian])
        bom.register_dependency(application, contents)
        bom.register_dependency(system, debian)
        return bom


def written(bom: Bom) -> str:
    """Returns the bill as JSON, checked against CycloneDX's schema. Raises ValueError."""
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]  # the only values that differ between runs
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        raise ValueError(f"not CycloneDX 1.6: {error}")
    return text


def _docker(*arguments: str) -> bytes:
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE).stdout


def _extract(image: str, root: Path) -> None:
    archive = _docker("run", "--rm", "--network=none", "--workdir=/", "--entrypoint=sh", image, "-c", COLLECT)
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(root, filter="data")


def _labels(image: str) -> Mapping[str, str]:
    prefix = "org.opencontainers.image."
    labels = json.loads(_docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    return {name.removeprefix(prefix): text for name, text in labels.items()}


def _application(labels: Mapping[str, str]) -> Component:
    return Component(
        type=ComponentType.APPLICATION,
        bom_ref="application",
        name=labels["title"],
        version=labels["version"],
        description=labels["description"],
        licenses=[LicenseFactory().make_from_string(labels["licenses"])],
    )


def _interpreter(root: Path) -> Component:
    """Returns the Python interpreter, a component of its own: in Docker's Python images it is no Debian package."""
    lines = (root / "opt/venv/pyvenv.cfg").read_text().splitlines()
    version = dict(line.split(" = ", 1) for line in lines)["version"]
    return Component(
        type=ComponentType.PLATFORM,
        bom_ref="python",
        name="python",
        version=version,
        licenses=[LicenseFactory().make_from_string("PSF-2.0")],
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    )


def _python_packages(root: Path, metadata: Path) -> Bom:
    """Returns the Python packages with their wheels' hashes.

    cyclonedx-py reads them from a new environment that holds the image's metadata and nothing else.
    """
    venv.create(metadata)
    [site] = metadata.glob("lib/python3*/site-packages")
    for found in root.glob("opt/venv/lib/python3*/site-packages/*.dist-info"):
        found.rename(site / found.name)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", str(metadata)]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    found_bom = Bom.from_json(json.loads(made))  # type: ignore[attr-defined]  # added by py-serializable's decorator
    if not isinstance(found_bom, Bom):
        raise RuntimeError("cyclonedx-py wrote no bill")
    hashes = _wheel_hashes(root / "opt/venv/wheels.txt")
    for component in found_bom.components:
        component.description = None
        component.external_references.clear()
        component.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=hashes[canonicalize_name(component.name)]))
    return Bom(components=found_bom.components, dependencies=found_bom.dependencies)


def _wheel_hashes(file: Path) -> dict[str, str]:
    pairs = (line.split(" sha256=") for line in file.read_text().splitlines())
    return {canonicalize_name(name): digest for name, digest in pairs}


def _debian(root: Path) -> Iterable[Component]:
    """Yields the operating system, then its packages."""
    lines = (root / "etc/os-release").read_text().splitlines()
    release = {name: text.strip('"') for name, _, text in (line.partition("=") for line in lines)}
    distro = f"{release['ID']}-{release['VERSION_ID']}"
    yield Component(
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref="system",
        name=release["ID"],
        version=release["VERSION_ID"],
    )
    for paragraph in (root / "var/lib/dpkg/status").read_text().strip().split("\n\n"):
        fields = Parser().parsestr(paragraph)
        if fields["Status"].endswith(" installed"):
            yield _debian_package(
                fields["Package"], fields["Version"], fields["Architecture"], fields["Source"], distro
            )


def _debian_package(name: str, version: str, architecture: str, source: str | None, distro: str) -> Component:
    """Returns a Debian package, with its source package as the qualifier `upstream`.

    Debian's advisories name source packages, and scanners look there for them.
    """
    qualifiers = {"arch": architecture, "distro": distro}
    if source:  # "name" or "name (version)"; absent where it is the package's own
        source_name, _, source_version = source.partition(" ")
        source_version = source_version.strip("()")
        qualifiers["upstream"] = f"{source_name}@{source_version}" if source_version else source_name
    purl = PackageURL("deb", "debian", name, version, qualifiers)
    return Component(name=name, version=version, purl=purl, bom_ref=f"{name}:{architecture}")


def main() -> None:
    """Reads the command line and writes the file."""
    parser = argparse.ArgumentParser(prog="python deploy/sbom.py", description="Writes an image's bill of materials.")
    parser.add_argument("image", help="an image built from deploy/*.Dockerfile, present in the Docker engine")
    parser.add_argument("output", type=Path, help="file to write, CycloneDX 1.6 as JSON")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(written(bill_of(arguments.image)), encoding="utf-8")


if __name__ == "__main__":
    main()
