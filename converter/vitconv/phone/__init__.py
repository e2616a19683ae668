"""Phones: what adb reaches, the benchmark_model tool that runs there, and the demo app's own tasks.

Imports benchmarking.
"""
