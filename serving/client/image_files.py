"""Which files the command line means."""

from collections.abc import Iterable
from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".bin", ".raw"})
STANDARD_INPUT = Path("-")


def find_image_files(paths: Iterable[Path]) -> list[Path]:
    """Files as they are; of each folder the image files below it, sorted by path. Raises FileNotFoundError."""
    found: list[Path] = []
    for path in paths:
        if path == STANDARD_INPUT or path.is_file():
            found.append(path)
        elif path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    return found
