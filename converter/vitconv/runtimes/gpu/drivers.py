"""Which Vulkan driver LiteRT's GPU accelerator can use here: a graphics card's own, or a software one.

Vulkan's loader, libvulkan.so.1, reads which drivers there are from small JSON files, "manifests". Debian's package
chromium brings SwiftShader, a Vulkan that computes on the processor, and a loader, outside the places where the
system looks for them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

HOW_TO_GET = (
    "Install your graphics card's Vulkan driver, or a software one. On Debian and Ubuntu: apt install chromium "
    "(it brings SwiftShader)."
)

_LOADER = "libvulkan.so.1"
_NAMED_BY_USER = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # the second is what older loaders read
_SOFTWARE = "lvp"  # Mesa's llvmpipe, in manifests' names

# Where browsers keep SwiftShader, and a loader beside it.
_BROWSERS = (
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/usr/lib64/chromium-browser",
    "/opt/google/chrome",
    "/opt/chromium.org/chromium",
    "/opt/microsoft/msedge",
    "/opt/brave.com/brave",
    "/snap/chromium/current/usr/lib/chromium-browser",
)
_SYSTEM = "/etc"
_SWIFTSHADER = "vk_swiftshader_icd.json"


@dataclass(frozen=True)
class Driver:
    """One way to get at Vulkan. `name` is for people, `manifests` are the drivers that the loader is to offer,
    `loader` is the library to load, by its path where the system does not find it by name. `adapter` is what
    computes with it, "" before it was tried."""

    name: str
    manifests: tuple[Path, ...]
    loader: str
    adapter: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What a process that uses it needs in its environment, beside everything else."""
        listed = os.pathsep.join(map(str, self.manifests))
        # SwiftShader wants to know where sockets belong, though it opens none.
        sockets = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        return {**dict.fromkeys(_NAMED_BY_USER, listed), "XDG_RUNTIME_DIR": sockets}


def candidates() -> tuple[Driver, ...]:
    """The drivers to try, the best first: what the user's VK_DRIVER_FILES names, and nothing else; otherwise
    graphics cards, SwiftShader, llvmpipe. Whether one works shows only when it is used."""
    loader = _LOADER if find_library("vulkan") else None
    browser = next((folder for folder in map(Path, _BROWSERS) if (folder / _SWIFTSHADER).is_file()), None)
    named = next((os.environ[name] for name in _NAMED_BY_USER if os.environ.get(name)), None)
    if named is not None:
        manifests = tuple(Path(part) for part in named.split(os.pathsep) if part)
        folders = [manifest.parent for manifest in manifests] + ([browser] if browser else [])
        found = loader or next((one for one in map(_loader_in, folders) if one), None)
        return (Driver(" ".join(map(str, manifests)), manifests, found),) if found else ()
    installed = tuple(_installed())
    cards = tuple(manifest for manifest in installed if _SOFTWARE not in manifest.name)
    drivers = [Driver("graphics card", cards, loader)] if cards and loader else []
    if browser and (found := loader or _loader_in(browser)):
        drivers.append(Driver(f"SwiftShader of {browser}", (browser / _SWIFTSHADER,), found))
    software = tuple(manifest for manifest in installed if _SOFTWARE in manifest.name)
    if software and loader:
        drivers.append(Driver("llvmpipe", software, loader))
    return tuple(drivers)


def _loader_in(folder: Path) -> str | None:
    """The path of a driver's own copy of the loader."""
    loader = folder / _LOADER
    return str(loader) if loader.is_file() else None


def _installed() -> Iterator[Path]:
    """The manifests where Vulkan's loader looks for them."""
    home = Path.home()
    roots = [
        os.environ.get("XDG_CONFIG_HOME") or home / ".config",
        *(os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep),
        _SYSTEM,
        os.environ.get("XDG_DATA_HOME") or home / ".local/share",
        *(os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(os.pathsep),
    ]
    folders = dict.fromkeys(Path(root) / "vulkan" / "icd.d" for root in roots)
    for folder in folders:
        yield from sorted(folder.glob("*.json"))
