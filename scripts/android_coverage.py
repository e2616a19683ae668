"""How much of the Android app's code its tests run, from JaCoCo's report; for scripts/test-android --coverage.

Exit status 1 where it is less than what is asked for: 95 % of the lines and branches of core/, 85 % of the rest.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

LEAST = {"core": 0.95, "classifier and app": 0.85}


def main(report: Path) -> int:
    counts: dict[str, Counter[str]] = {part: Counter() for part in LEAST}
    with report.open(newline="") as rows:
        for row in csv.DictReader(rows):
            part = "core" if row["PACKAGE"].startswith("org.vitconv.core") else "classifier and app"
            for key in ("LINE_COVERED", "LINE_MISSED", "BRANCH_COVERED", "BRANCH_MISSED"):
                counts[part][key] += int(row[key])
    enough = True
    for part, count in counts.items():
        for unit, name in (("LINE", "lines"), ("BRANCH", "branches")):
            covered, missed = count[f"{unit}_COVERED"], count[f"{unit}_MISSED"]
            share = covered / max(covered + missed, 1)
            enough = enough and share >= LEAST[part]
            print(f"{part}: {share:.1%} of {covered + missed} {name}; asked for {LEAST[part]:.0%}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
