"""What this machine has and what it lacks, for which command, and how to get it.

Quick, and harmless: nothing heavy is imported (versions are read from the installed packages' own records), and
nothing is downloaded, written or left running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from vitconv.cli.doctor import app_build, packages, phones, places, runtimes
from vitconv.cli.doctor.checks import COMMANDS, EVERY, REINSTALL, Check


@dataclass(frozen=True)
class Examination:
    """All checks, by the heading under which they are shown."""

    sections: dict[str, tuple[Check, ...]]

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(check for section in self.sections.values() for check in section)

    @property
    def passed(self) -> bool:
        """Whether everything is sound that every command needs; what only some need may be missing."""
        return not any(check.problem for check in self.checks if EVERY in check.needed_for)

    @property
    def lacking(self) -> dict[str, list[str]]:
        """Command → the names of the checks that keep it from its work; empty where it is ready."""
        return {
            command: [
                check.name
                for check in self.checks
                if check.problem and (command in check.needed_for or EVERY in check.needed_for)
            ]
            for command in COMMANDS
        }

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv doctor --json`."""
        return {
            "passed": self.passed,
            "checks": [
                {"section": section, **asdict(check), "needed_for": list(check.needed_for)}
                for section, checks in self.sections.items()
                for check in checks
            ],
            "commands": {
                command: {"ready": not lacking, "lacking": lacking} for command, lacking in self.lacking.items()
            },
        }


def examine() -> Examination:
    """Looks at everything, at all sections at once, for some must wait for a program's answer."""
    sections: dict[str, Callable[[], Iterable[Check]]] = {
        "Python": packages.look,
        "Data and places": places.look,
        "LiteRT's GPU accelerator on this machine": runtimes.gpu,
        "Android's runtime on this machine": runtimes.android_runtime,
        "Building the app": app_build.look,
        "Phones": phones.look,
    }
    with ThreadPoolExecutor() as pool:
        done = {name: pool.submit(_checked, look) for name, look in sections.items()}
        return Examination({name: future.result() for name, future in done.items()})


def _checked(look: Callable[[], Iterable[Check]]) -> tuple[Check, ...]:
    """What is found, as far as it can be looked at where packages are missing."""
    checks = []
    try:
        for check in look():
            checks.append(check)
    except ImportError as error:
        checks.append(Check("more", "", problem=f"cannot be looked at: {error}", remedy=REINSTALL))
    return tuple(checks)
