"""LiteRT's GPU accelerator (WebGPU over Vulkan) on this machine's graphics card, or on its processor by a software
Vulkan.

`probe.find_driver` finds a Vulkan driver, `runner.GpuRunner` runs a file with it, `log` reads what the accelerator
prints.
"""
