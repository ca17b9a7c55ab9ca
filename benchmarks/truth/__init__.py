"""Measured accuracies: which tables there are, where each comes from, and how one is read. No scores."""

from benchmarks.truth.accuracies import TARGETS, Target, Truth
from benchmarks.truth.official import cache_folder
from benchmarks.truth.tables import CEILING, TRUTHS, another, lacking, load, offered, others

__all__ = [
    "CEILING",
    "TARGETS",
    "TRUTHS",
    "Target",
    "Truth",
    "another",
    "cache_folder",
    "lacking",
    "load",
    "offered",
    "others",
]
