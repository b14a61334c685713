"""Finds model versions on disk and loads those that pass every check: checksums, signature, golden answers, warm-up.

A version that fails raises ModelRejectedError with the check that it failed, one of CHECKS, and the reason in words.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from google.protobuf import text_format

from protos.inference.open_inference_pb2 import ModelConfig
from serving.errors import ModelRejectedError
from serving.files import FileStamp, file_stamp
from serving.models.loaded_model import LoadedModel, OpenSession, load_form
from serving.models.metadata import Form, read_form
from serving.models.signature import verified_copy
from serving.version_policy import ALL, LATEST, VersionPolicy

CHECKS = ("missing", "unreadable", "metadata", "unsigned", "checksum", "graph", "golden", "warm_up", "slow")
CONFIG = "config.pbtxt"
INT8_SUFFIX = "-int8"  # of the name of a model that is another's int8 form

Stamp = frozenset[tuple[str, FileStamp | None]]  # of the files of a version, by name


class ModelRepository:
    """The folder `<root>/<name>/<version>/`. Reads, never writes.

    With a `public_key`, a PEM file, versions must carry a signature made by its other half.
    """

    def __init__(self, root: Path, name: str, public_key: Path | None = None) -> None:
        self._name = name
        self.folder = root / name
        self._public_key = public_key

    def versions(self) -> list[int]:
        """Version numbers on disk, ascending. Raises ModelRejectedError where there is no repository."""
        try:
            return _versions(self.folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelRejectedError(
                f"there is no model {self._name} at {self.folder}: train one with `make train`, or name"
                " another model with --model-name, or another folder of models with --model-repository"
            ) from error
        except OSError as error:
            raise ModelRejectedError(f"{self.folder}: cannot be read: {error}", "unreadable") from error

    def wanted(self, policy: VersionPolicy | None, bad: Collection[int] = ()) -> list[int]:
        """The versions to serve, ascending, by `policy` or, where that is None, by what config.pbtxt says.

        Raises ModelRejectedError where there is no repository, or its config.pbtxt cannot be read.
        """
        return (policy or self.policy()).wanted(self.versions(), bad)

    def stamp(self, version: int) -> Stamp:
        """What differs when a file of the version was written: empty where there is none."""
        stamps = set()
        with suppress(OSError):
            for path in (self.folder / str(version)).iterdir():
                if path.suffix != ".json" or path.name == "metadata.json":  # and not what --tune remembers there
                    stamps.add((path.name, file_stamp(path)))
        return frozenset(stamps)

    def policy(self) -> VersionPolicy:
        """Triton's version_policy in config.pbtxt, so that both serve the same; the latest where there is none.

        Raises ModelRejectedError where config.pbtxt cannot be read.
        """
        path = self.folder / CONFIG
        try:
            config = text_format.Parse(path.read_text(), ModelConfig(), allow_unknown_field=True)
        except FileNotFoundError:
            return LATEST
        except (OSError, ValueError, text_format.ParseError) as error:
            raise ModelRejectedError(f"{path}: cannot be read: {error}", "unreadable") from error
        policy = config.version_policy
        kind = policy.WhichOneof("policy_choice")
        if kind == "specific":
            return VersionPolicy(versions=tuple(policy.specific.versions))
        return VersionPolicy(ALL if kind == "all" else max(1, policy.latest.num_versions))

    def forms(self, version: int) -> dict[str, Form]:
        """By precision, what `version` (0: the highest) can be served by: its own graph first.

        The int8 form is a model of its own, `<name>-int8`, whose metadata.json tells of the same training run. Raises
        ModelRejectedError where the version is not there or its metadata.json cannot be read.
        """
        chosen = self._chosen(version)
        own = read_form(self.folder / str(chosen), self._name, chosen)
        forms = {own.precision: own}
        int8 = self.folder.parent / f"{self._name}{INT8_SUFFIX}"
        with suppress(OSError):  # what is wrong with another model does not keep this one from serving
            for number in reversed(_versions(int8)):
                with suppress(ModelRejectedError):
                    form = read_form(int8 / str(number), int8.name, number)
                    if own.has_training_of(form):
                        forms.setdefault(form.precision, form)
        return forms

    def load(self, version: int, open_session: OpenSession, largest_batch: int, precision: str = "auto") -> LoadedModel:
        """Loads, checks and warms `version` (0: the highest), for batches up to `largest_batch`.

        `precision`: float32 or int8, or auto for that of the version's own graph. The int8 form is served under the
        name and version of the model that was asked for.

        Raises ModelRejectedError saying which check failed.
        """
        forms = self.forms(version)
        asked = next(iter(forms)) if precision == "auto" else precision
        own = next(iter(forms.values()))
        if asked not in forms:
            raise ModelRejectedError(f"{own.folder}: has no {asked} form, only {' and '.join(forms)}")
        if asked == own.precision:
            with self._trusted(own) as form:
                loaded = load_form(form, open_session, largest_batch)
        else:
            with self._trusted(own) as trusted_own:
                own = trusted_own  # the answers are told under its name and version
            with self._trusted(forms[asked]) as form:
                if not own.has_training_of(form):
                    raise ModelRejectedError("metadata.json changed while it was read", "metadata")
                loaded = load_form(form, open_session, largest_batch)
        return replace(loaded, name=own.name, version=own.version)

    @contextmanager
    def _trusted(self, form: Form) -> Iterator[Form]:
        """The form; where a signature is asked for, as a copy that nobody changes once it is verified."""
        try:
            if self._public_key:
                with verified_copy(form.folder, self._public_key) as folder:
                    yield read_form(folder, form.name, form.version)
            else:
                yield form
        except ModelRejectedError as error:
            raise ModelRejectedError(f"{form.folder}: {error}", error.check) from error
        except OSError as error:
            raise ModelRejectedError(f"{form.folder}: cannot be read: {error}", "unreadable") from error

    def _chosen(self, version: int) -> int:
        versions = self.versions()
        if not versions:
            raise ModelRejectedError(f"{self.folder} holds no version: train one with `make train`")
        chosen = version or versions[-1]
        if chosen not in versions:
            raise ModelRejectedError(f"{self.folder} holds no version {chosen}, only {', '.join(map(str, versions))}")
        return chosen


def _versions(folder: Path) -> list[int]:
    """Version numbers below a model's folder, ascending. Raises OSError."""
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name != "0")
