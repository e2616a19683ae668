"""How much of the Android app's code its tests run, from JaCoCo's report; for scripts/test-android --coverage.

    python scripts/android_coverage.py REPORT.xml [--missed]

What the compiler's plugin for serialization and aapt2 write is nobody's code and is left out. Exit status 1
where it is less than what is asked for: 95 % of the lines and branches of core/, 85 % of the rest. With --missed,
says as well where lines and branches are that no test runs.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

LEAST = {"core": 0.95, "classifier and app": 0.85}


def is_generated(name: str, descriptor: str) -> bool:
    """Whether kotlinx.serialization's compiler plugin wrote the method."""
    return (
        name.startswith(("write$Self", "_childSerializers", "get$cachedSerializer", "_get_$childSerializers"))
        or name in ("serializer", "_init_$_anonymous_", "get$childSerializers$cp")
        or "SerializationConstructorMarker" in descriptor
    )


def part_of(package: ElementTree.Element) -> str:
    return "core" if package.get("name", "").startswith("org/vitconv/core") else "classifier and app"


def counted(report: Path) -> Iterator[tuple[str, str, str, int, int]]:
    """Part, unit, place, how many are run, how many are not: lines of each file, branches of each method."""
    for package in ElementTree.parse(report).iter("package"):
        for file in package.iter("sourcefile"):
            if file.get("name") == "R.java":
                continue
            is_run = {line.get("nr"): int(line.get("ci", 0)) > 0 for line in file.iter("line")}
            place = f"{file.get('name')}, {', '.join(str(number) for number, run in is_run.items() if not run)}"
            yield part_of(package), "lines", place, sum(is_run.values()), len(is_run) - sum(is_run.values())
        for method in package.iter("method"):
            if is_generated(method.get("name", ""), method.get("desc", "")):
                continue
            for counter in method.iter("counter"):
                if counter.get("type") == "BRANCH":
                    place = f"{package.get('name')}, {method.get('name')}, line {method.get('line')}"
                    covered, missed = (int(counter.get(key, 0)) for key in ("covered", "missed"))
                    yield part_of(package), "branches", place, covered, missed


def main(report: Path, names_missed: bool) -> int:
    run: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for part, unit, place, covered, missed in counted(report):
        run[part, unit] += covered
        total[part, unit] += covered + missed
        if names_missed and missed:
            print(f"{part}: {missed} {unit} of {place}")
    enough = True
    for part, least in LEAST.items():
        for unit in ("lines", "branches"):
            count = total[part, unit]
            share = run[part, unit] / max(count, 1)
            enough = enough and count > 0 and share >= least
            print(f"{part}: {share:.1%} of {count} {unit}; asked for {least:.0%}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--missed" in sys.argv[2:]))
