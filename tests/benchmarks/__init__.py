"""Benchmarks, run by `uv run python -m tests.benchmarks`; they measure and never fail a suite."""
