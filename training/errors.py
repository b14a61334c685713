"""The errors this package raises on purpose: each message says what is wrong and what to do about it."""


class TrainingError(Exception):
    """Something the person who typed the command can put right; the command line prints it without a traceback."""


class DataError(TrainingError):
    """MNIST is missing, damaged, or cannot be stored."""


class ConfigError(TrainingError):
    """A setting is unknown, has a bad value, or contradicts the run it is used with."""


class RunError(TrainingError):
    """A run folder is missing, unfinished, or belongs to a run that must not be overwritten."""


class ExportError(TrainingError):
    """The exported graph failed one of its checks, so no model version was written."""
