"""Every error that tunesmith raises on purpose, in one tree.

::

    TunesmithError                 exit code 1
    ├── UserError                  exit code 2: something that the user can mend
    │   ├── ConfigError            a key, a value or a file of the configuration
    │   ├── DataError              a data file that cannot be used
    │   │   ├── RecordError        one record of it: file, record, line, field, reason, mend
    │   │   └── PictureError       a picture that cannot be used: picture, reason, mend
    │   ├── ModelError             a model folder: its config, weights or tokenizer
    │   ├── AdapterError           an adapter folder, or an adapter for another base
    │   └── MachineError           a missing library, no disk space, no such device
    └── RunError                   exit code 1: the run itself went wrong
        ├── PeerLostError          another rank has ended, so this one cannot go on
        ├── NonFiniteError         a loss or gradient that is not a number
        ├── SelfTestError          the fast path and the plain path disagree
        ├── CheckpointError        no checkpoint that can be trusted
        └── RoundTripError         what was saved is not what was trained

A message is one paragraph for a person: what happened, where (file, record, field, line), why, and what to do.
The command line prints it without a traceback.
"""

from __future__ import annotations


class TunesmithError(Exception):
    """An error whose message is meant to be read by the user; `exit_code` is the command's exit status."""

    exit_code = 1


class UserError(TunesmithError):
    """A mistake that the user can mend; the message says how."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration key, value or file that cannot be used."""


class DataError(UserError):
    """A data file that cannot be used."""


class RecordError(DataError):
    """One record that cannot be used; the parts of the message are kept for reports.

    Attributes: `origin` (prints as "file, record n, line m"), `field`, `reason` and `mend`, each a short text.
    """

    def __init__(self, origin: object, field: str, reason: str, mend: str) -> None:
        self.origin, self.field, self.reason, self.mend = origin, field, reason, mend
        super().__init__(f"{origin}, field '{field}': {reason} {mend}")

    def __reduce__(self) -> tuple[type[RecordError], tuple[object, str, str, str]]:
        """Travel between processes in its parts."""
        return type(self), (self.origin, self.field, self.reason, self.mend)


class PictureError(DataError):
    """A picture that cannot be used; the parts of the message are kept, so that its record can be named.

    Attributes: `picture` (its path, or the beginning of its address), `reason` and `mend`, each a short text.
    """

    def __init__(self, picture: str, reason: str, mend: str) -> None:
        self.picture, self.reason, self.mend = picture, reason, mend
        super().__init__(f"the picture '{picture}' {reason} {mend}")

    def __reduce__(self) -> tuple[type[PictureError], tuple[str, str, str]]:
        """Travel between processes in its parts."""
        return type(self), (self.picture, self.reason, self.mend)


class ModelError(UserError):
    """A model folder that cannot be used: its config, weights or tokenizer."""


class AdapterError(UserError):
    """An adapter folder that cannot be used, or that belongs to another base model."""


class MachineError(UserError):
    """Something that this machine lacks: a library, disk space, a device."""


class RunError(TunesmithError):
    """A run that cannot go on."""


class PeerLostError(RunError):
    """Another rank of the run has ended; what it says is the cause."""


class NonFiniteError(RunError):
    """A loss or gradient that is NaN or infinite; raised before the weights are touched."""


class SelfTestError(RunError):
    """The training path gives another loss than the plain reference path."""


class CheckpointError(RunError):
    """No checkpoint that can be trusted is there to resume from."""


class RoundTripError(RunError):
    """A clean process that loads the saved result does not reproduce it."""
