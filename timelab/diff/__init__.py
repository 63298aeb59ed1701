"""Two runs side by side: which causes changed (`causes`) and which files came out otherwise (`files`); pure."""

from __future__ import annotations

from timelab.diff.causes import CAUSES, NONDETERMINISM, Cause, Change, causes_of, changes
from timelab.diff.files import TOLERANCE, Difference, FileDiff, Verdict, compare_file, compare_outputs

__all__ = [
    "CAUSES",
    "NONDETERMINISM",
    "TOLERANCE",
    "Cause",
    "Change",
    "Difference",
    "FileDiff",
    "Verdict",
    "causes_of",
    "changes",
    "compare_file",
    "compare_outputs",
]
