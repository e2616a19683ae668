"""What can go wrong, as one tree.

    VitconvError
    ├── InputError            exit status 2: something the user gave cannot be used
    │   ├── UnknownNameError      no model, data set, scheme … of that name; lists the known ones
    │   ├── CheckpointError       a checkpoint that is missing, incomplete, corrupt or of another model
    │   ├── DatasetError          a data set that cannot be read, or does not fit the model
    │   ├── ModelFileError        a .tflite file that is missing, corrupt, or that the runtime refuses
    │   ├── OutputError           an output place that cannot be written, or a full disk
    │   ├── MissingToolError      a program or library this command needs is not installed
    │   └── DeviceError           no phone that can be used, or several and none chosen
    └── CheckError            exit status 1: the work was done, and what came out breaks a promise
        ├── PromiseError          an exported file breaks a promise of its scheme
        ├── WorkerLostError       another process of a training on several workers stopped or no longer answers
        └── DeviceRunError        what was begun on a phone failed there: unplugged, hung, crashed, full
            └── DeviceLostError       the phone no longer answers, so nothing more can be done on it

Every message says what was wrong, the value that was seen, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class VitconvError(Exception):
    """Base of every error that vitconv raises on purpose; `exit_status` is what the command ends with."""

    exit_status = 2


class InputError(VitconvError):
    """Something the user gave cannot be used."""


class UnknownNameError(InputError):
    """A name that is in no list.

    `kind` is the field's word for what was asked for ("model"), `known` every name that would have been right.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
        self.name = name
        self.known = names


class CheckpointError(InputError):
    """A checkpoint that is missing, incomplete, corrupt, or belongs to another model."""


class DatasetError(InputError):
    """A data set that cannot be read or does not fit the model."""


class ModelFileError(InputError):
    """A .tflite file that is missing, corrupt, or refused by the runtime."""


class OutputError(InputError):
    """An output place that cannot be written."""


class MissingToolError(InputError):
    """A program or library that this command needs is not installed."""


class DeviceError(InputError):
    """There is no phone that can be used, or there are several and none was chosen."""


class CheckError(VitconvError):
    """The work was done, and what came out is not as promised."""

    exit_status = 1


class PromiseError(CheckError):
    """An exported file breaks a promise of its scheme."""


class WorkerLostError(CheckError):
    """Another process of a training on several workers stopped or no longer answers."""


class DeviceRunError(CheckError):
    """What was begun on a phone failed there."""


class DeviceLostError(DeviceRunError):
    """The phone no longer answers: unplugged, restarted, or adb's server has gone."""
