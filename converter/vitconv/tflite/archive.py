"""The zip archive behind a model: files that belong to it, in the same .tflite file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from vitconv.foundation.errors import InputError

# A fixed time, so that the same files always give the same bytes. It is the first one that zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)

# Far above any list of labels; stops an archive that would unpack into gigabytes.
_MAX_BYTES = 16 << 20
MAX_FILES = 64


def append(model: bytes, files: Mapping[str, str]) -> bytes:
    """The model's bytes with an archive of these texts, by name, behind them. The same each time."""
    stream = io.BytesIO()
    stream.write(model)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3  # the same on every system
            info.external_attr = 0o644 << 16
            archive.writestr(info, content.encode("utf-8"))
    return stream.getvalue()


def read(file: bytes) -> dict[str, bytes]:
    """The files behind a model, by name.

    Raises InputError where there is no archive, or one of more than any model has, and zipfile's own errors where
    an entry is damaged.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(file))
    except zipfile.BadZipFile:
        raise InputError("no files are attached, or their archive is damaged") from None
    with archive:
        entries = archive.infolist()
        if len(entries) > MAX_FILES:
            raise InputError(f"{len(entries)} files are attached, more than {MAX_FILES}")
        files, left = {}, _MAX_BYTES
        for entry in entries:
            with archive.open(entry) as stream:
                files[entry.filename] = stream.read(left + 1)
            left -= len(files[entry.filename])
            if left < 0:
                raise InputError(f"the attached files hold more than {_MAX_BYTES} bytes")
        return files
