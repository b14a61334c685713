"""Model repository on disk: finds versions and loads those that pass every check.

A version that fails raises ModelRejectedError with the check that it failed, one of CHECKS, and the reason in words.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from google.protobuf import text_format

from protos.inference.open_inference_pb2 import ModelConfig
from serving.errors import ModelRejectedError
from serving.files import FileStamp, file_stamp, read_regular
from serving.models.loaded_model import LoadedModel, OpenSession, load_form
from serving.models.metadata import PRECISIONS, Form, read_form
from serving.models.quality import Figures, what_is_worse
from serving.models.signature import MOST_FILES, verified_copy
from serving.version_policy import ALL, LARGEST_VERSION, LATEST, VersionPolicy

# In the order in which they are made; the last three by the model reloader.
CHECKS = (
    *("missing", "number", "unreadable", "unsigned", "metadata", "checksum", "graph", "golden", "warm_up"),
    *("slow", "worse", "waiting"),
)
CONFIG = "config.pbtxt"
MOST_CONFIG_BYTES = 2**16
MOST_NAMED = 5  # entries of a folder without a version, in its error
INT8_SUFFIX = "-int8"  # of the name of a model that holds the int8 forms of another

Stamp = frozenset[tuple[str, FileStamp | None]]  # of a version: name and stamp of each of its files


class ModelRepository:
    """Versions of one model, in folders `<root>/<name>/<version>/`. Never writes.

    With a `folder`, they are in `<folder>/<version>/`: they may have been trained under another name, and are served
    as `name`. With a `public_key`, a PEM file, versions must be signed with its private key.
    """

    def __init__(self, root: Path, name: str, public_key: Path | None = None, folder: Path | None = None) -> None:
        self._name = name
        self._trained_name = None if folder else name  # that metadata.json must have; None: any
        self.folder = folder or root / name
        self._public_key = public_key

    def versions(self) -> list[int]:
        """Returns the version numbers on disk, ascending. Raises ModelRejectedError where the folder is missing."""
        try:
            return _versions(self.folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelRejectedError(f"there is no model {self._name} at {self.folder}: {self._remedy()}") from error
        except OSError as error:
            raise ModelRejectedError(f"{self.folder}: cannot be read: {error}", "unreadable") from error

    def _remedy(self) -> str:
        """Says what to do about a model's folder that is missing."""
        if self._trained_name is None:
            return "name the folder that holds the versions with --model-folder"
        if _holds_versions(self.folder.parent):
            return _is_model_folder(self.folder.parent)
        return (
            "train one with `make train`, or name another model with --model-name, or another folder of models with"
            " --model-repository"
        )

    def no_version(self) -> ModelRejectedError:
        """Makes the error for a model's folder without a version. Names what a version is and what is there instead."""
        found = _others(self.folder)
        if self._trained_name is None:
            for model in (self.folder / name for name in found if _holds_versions(self.folder / name)):
                return ModelRejectedError(f"{self.folder} holds no version: {_is_model_folder(model)}")
        if not found:
            return ModelRejectedError(f"{self.folder} holds no version: train one with `make train`")
        more = f" and {len(found) - MOST_NAMED} more" if found[MOST_NAMED:] else ""
        return ModelRejectedError(
            f"{self.folder} holds no version: a version is a folder named by a whole number, such as {self.folder}/1, "
            f"and here is only {', '.join(found[:MOST_NAMED])}{more}: rename or move that, or train one with "
            "`make train`"
        )

    def wanted(self, policy: VersionPolicy | None, bad: Collection[int] = ()) -> list[int]:
        """Returns the versions to serve, ascending, by `policy` or, where that is None, by the one in config.pbtxt.

        Versions in `bad` are passed over. Raises ModelRejectedError where the folder is missing or config.pbtxt cannot
        be read.
        """
        fit = [version for version in self.versions() if version <= LARGEST_VERSION]
        return (policy or self.policy()).wanted(fit, bad)

    def stamp(self, version: int) -> Stamp:
        """Detects changes of a version's files: returns a stamp to compare, empty where there are no files."""
        stamps = set()
        with suppress(OSError), os.scandir(self.folder / str(version)) as entries:
            for entry in islice(entries, MOST_FILES):
                name = entry.name
                if not name.endswith(".json") or name == "metadata.json":  # not an earlier release's tuning.json
                    stamps.add((name, file_stamp(Path(entry.path))))
        return frozenset(stamps)

    def policy(self) -> VersionPolicy:
        """Reads the version policy from config.pbtxt, which Triton reads too, so that both serve the same versions.

        Returns the policy `latest` where there is no file. Raises ModelRejectedError where it cannot be read.
        """
        path = self.folder / CONFIG
        try:
            text = read_regular(path, MOST_CONFIG_BYTES).decode()
            config = text_format.Parse(text, ModelConfig(), allow_unknown_field=True)
        except FileNotFoundError:
            return LATEST
        except RecursionError as error:
            raise ModelRejectedError(f"{path}: cannot be read: it is nested too deep", "unreadable") from error
        except (OSError, ValueError, text_format.ParseError) as error:
            raise ModelRejectedError(f"{path}: cannot be read: {error}", "unreadable") from error
        # As in Triton: no policy, or `latest` without a number, means the latest one.
        policy = config.version_policy
        kind = policy.WhichOneof("policy_choice")
        if kind == "specific":
            return VersionPolicy(versions=tuple(policy.specific.versions))
        return VersionPolicy(ALL if kind == "all" else max(1, policy.latest.num_versions))

    def forms(self, version: int) -> dict[str, Form]:
        """Returns the forms that can serve `version` (0: the highest), by precision, its own graph first.

        The int8 form is in a model of its own, `<name>-int8`, and its metadata.json records the same training run.
        Raises ModelRejectedError where the version is missing or its metadata.json cannot be read.
        """
        chosen = self._chosen(version)
        folder = self.folder / str(chosen)
        with _named(folder):
            return self._forms_of(read_form(folder, self._trained_name, chosen))

    def best_below(self, version: int, allowed: float, bad: Collection[int] = ()) -> tuple[int, Figures]:
        """Returns the version below `version`, and its figures, that would be served had all come in their order.

        Each one takes the place of the one before it unless it is worse (what_is_worse(), `allowed`). Versions in `bad`
        and those whose metadata.json cannot be read or is not signed are passed over. Returns 0 where there is none.
        """
        best: int = 0
        figures: Figures = {}
        for number, its, worse in self._in_order(allowed, bad):
            if number < version and not worse:
                best, figures = number, its
        return best, figures

    def worse(self, allowed: float, bad: Collection[int] = ()) -> dict[int, str]:
        """Returns the versions that best_below() passes over for their figures, each with what is worse, in words."""
        return {number: worse for number, _, worse in self._in_order(allowed, bad) if worse}

    def _in_order(self, allowed: float, bad: Collection[int] = ()) -> Iterator[tuple[int, Figures, str]]:
        """Yields each version that can be read, ascending, its figures, and what is worse than of the best so far."""
        figures: Figures = {}
        for number in self.versions():
            if number not in bad and number <= LARGEST_VERSION:
                with suppress(ModelRejectedError):
                    with self._trusted(self.folder / str(number), self._trained_name, number) as form:
                        worse = what_is_worse(form.figures, figures, allowed)
                    yield number, form.figures, worse
                    if not worse:
                        figures = form.figures

    def load(self, version: int, open_session: OpenSession, largest_batch: int, precision: str = "auto") -> LoadedModel:
        """Loads, checks and warms up `version` (0: the highest), for batches up to `largest_batch`.

        `precision`: float32, int8, or auto for that of the version's own graph. The int8 form is served under the name
        and version of the model itself. Raises ModelRejectedError, which names the failed check.
        """
        chosen = self._chosen(version)
        folder = self.folder / str(chosen)
        # Signed too, even where another form is served: responses carry its version.
        with self._trusted(folder, self._trained_name, chosen) as own:
            if precision in ("auto", own.precision):
                return replace(load_form(own, open_session, largest_batch), name=self._name)
        forms = self._forms_of(own)
        if precision not in forms:
            raise ModelRejectedError(f"{folder}: has no {precision} form, only {' and '.join(forms)}")
        other = forms[precision]
        with self._trusted(other.folder, other.name, other.version) as form:
            # _forms_of() compared what was unsigned and could change; this compares what was verified.
            if not own.has_training_of(form) or form.precision != precision:
                raise ModelRejectedError("metadata.json changed while it was read", "metadata")
            return replace(load_form(form, open_session, largest_batch), name=self._name, version=own.version)

    def _forms_of(self, own: Form) -> dict[str, Form]:
        """Returns the forms of the training run of `own`, by precision, `own` first."""
        forms = {own.precision: own}
        int8 = self.folder.parent / f"{self.folder.name}{INT8_SUFFIX}"
        with suppress(OSError):  # a fault of the other model does not keep this one from being served
            for number in reversed(_versions(int8)):  # of several int8 forms the newest
                with suppress(ModelRejectedError, OSError):
                    form = read_form(int8 / str(number), f"{own.name}{INT8_SUFFIX}", number)
                    if own.has_training_of(form):
                        forms.setdefault(form.precision, form)
                if len(forms) == len(PRECISIONS):
                    break
        return forms

    @contextmanager
    def _trusted(self, folder: Path, name: str | None, version: int) -> Iterator[Form]:
        """Yields the form in `folder`; with a public key that in a verified private copy, which nobody can change."""
        with _named(folder):
            if self._public_key:
                with verified_copy(folder, self._public_key) as copy:
                    yield read_form(copy, name, version)
            else:
                yield read_form(folder, name, version)

    def _chosen(self, version: int) -> int:
        chosen = version
        if not version or not _is_folder(self.folder / str(version)):  # else the others do not matter, however many
            versions = self.versions()
            if not versions:
                raise self.no_version()
            chosen = version or versions[-1]
            if chosen not in versions:
                there = ", ".join(map(str, versions))
                raise ModelRejectedError(f"{self.folder} holds no version {chosen}, only {there}")
        if chosen > LARGEST_VERSION:
            raise ModelRejectedError(
                f"{self.folder / str(chosen)}: the number of a version is at most {LARGEST_VERSION}: rename the folder",
                "number",
            )
        return chosen


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Names the version's folder in the errors of the block, which are ModelRejectedError."""
    try:
        yield
    except ModelRejectedError as error:
        raise ModelRejectedError(f"{folder}: {error}", error.check) from error
    except OSError as error:
        raise ModelRejectedError(f"{folder}: cannot be read: {error}", "unreadable") from error


def _versions(folder: Path) -> list[int]:
    """Returns the version numbers below a model's folder, ascending. Raises OSError."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.isdecimal() and entry.is_dir()]
    # As Triton: positive numbers without leading zeros; other folders, as those of an unfinished copy, are skipped.
    return sorted(int(name) for name in names if str(int(name)) == name != "0")


def _is_folder(path: Path) -> bool:
    """Returns True for a folder, False also where nobody may look."""
    with suppress(OSError):
        return path.is_dir()
    return False


def _holds_versions(folder: Path) -> bool:
    """Returns True for a folder with a version in it, False also where nobody may look."""
    with suppress(OSError):
        return bool(_versions(folder))
    return False


def _is_model_folder(folder: Path) -> str:
    return f"{folder} holds versions of one model: name it with --model-folder {folder}"


def _others(folder: Path) -> list[str]:
    """Returns the names in a model's folder, but for config.pbtxt; those of folders end with a slash."""
    with suppress(OSError):
        entries = sorted(entry for entry in folder.iterdir() if entry.name != CONFIG)
        return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]
    return []
