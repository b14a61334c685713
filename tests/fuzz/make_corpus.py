"""`python -m tests.fuzz.make_corpus`: writes the seeds again; what the fuzzer has found stays.

Files change with Pillow's version, which need not be committed: the corpus is as good.
"""

import shutil
from pathlib import Path

from tests.fuzz import message_seeds, picture_seeds

CORPUS = Path(__file__).parent / "corpus"
FOLDERS = {
    "intake/listed": picture_seeds.listed,
    "intake/truncated": picture_seeds.truncated,
    "intake/bombs": picture_seeds.bombs,
    "intake/unlisted": picture_seeds.unlisted,
    "classify/seeds": message_seeds.classify,
    "infer/seeds": message_seeds.infer,
}


def main() -> None:
    """Writes all seeds."""
    for name, seeds in FOLDERS.items():
        folder = CORPUS / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, content in seeds().items():
            (folder / file).write_bytes(content)


if __name__ == "__main__":
    main()
