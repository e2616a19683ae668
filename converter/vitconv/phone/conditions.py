"""What else influences a phone's speed: its temperature, and which cores run."""

from __future__ import annotations

import re

from vitconv.foundation.errors import DeviceRunError
from vitconv.phone.benchmark_model import check_mask
from vitconv.phone.device.adb import Phone

BIG = "big"  # instead of a mask: all cores but the slowest kind
# Android's PowerManager.THERMAL_STATUS_*, from 0.
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def thermal_status(phone: Phone) -> str | None:
    """How much Android throttles for heat, a word of THERMAL; None where it does not say (before Android 10)."""
    said = phone.shell("dumpsys thermalservice").out
    found = re.search(r"^\s*Thermal Status: ([0-6])\s*$", said, re.MULTILINE)
    return THERMAL[int(found[1])] if found else None


def cpu_mask(phone: Phone, wanted: str | None) -> str | None:
    """The `taskset` mask for what --cpu-mask says: itself, or the cores that are meant by "big"."""
    if wanted is None or wanted != BIG:
        return None if wanted is None else check_mask(wanted)
    said = phone.shell(
        "for f in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq; do echo $f $(cat $f); done"
    ).out
    found = re.findall(r"/cpu([0-9]{1,2})/cpufreq/cpuinfo_max_freq ([0-9]+)", said)
    frequencies = {int(core): int(khz) for core, khz in found}
    if not frequencies:
        raise DeviceRunError(
            f"{phone.serial} does not say how fast its cores are. Give the mask itself: --cpu-mask f0"
        )
    return mask_of_big(frequencies)


def mask_of_big(frequencies: dict[int, int]) -> str:
    """Core → highest frequency, kHz → the mask of all cores but the slowest; of all, where they are equal."""
    slowest = min(frequencies.values())
    big = [core for core, khz in frequencies.items() if khz > slowest] or list(frequencies)
    return f"{sum(1 << core for core in big):x}"
