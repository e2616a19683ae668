"""adb and the phones that it knows."""

from __future__ import annotations

from collections.abc import Iterator

from vitconv.cli.doctor.checks import PHONE, Check


def look() -> Iterator[Check]:
    from vitconv.foundation.errors import MissingToolError
    from vitconv.phone.device import adb

    try:
        yield Check("adb", adb.find_program(), PHONE)
    except MissingToolError:
        yield Check("adb", "", PHONE, "it is not installed", adb.HOW_TO_GET)
        return
    states = adb.ask_server()
    if states is None:
        yield Check(
            "phone", "not looked for: adb's server isn't running; `adb devices` starts it and lists phones"
        )
    elif not states:
        yield Check("phone", "", PHONE, "none is connected", adb.HOW_TO_CONNECT)
    else:
        others = {serial: state for serial, state in states.items() if state != "device"}
        ready = [serial for serial in states if serial not in others]
        for serial in ready:
            yield Check("phone", f"{serial}, ready", PHONE)
        for serial, state in others.items():
            # Where another one is ready, nothing is kept from its work.
            why, _, remedy = adb.explain(state).partition(": ")
            needed_for = () if ready else PHONE
            yield Check("phone", serial, needed_for, why, f"{remedy[:1].upper()}{remedy[1:]}." if remedy else None)
