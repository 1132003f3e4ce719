"""Benchmarks: `python -m tests.bench` runs all of them on a real server and prints a JSON line for each.

Machines differ, so each figure comes with what it is compared with, measured in the same run where that can be.
"""
