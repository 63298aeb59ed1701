"""Two runs side by side: which causes changed, which files and which answers came out otherwise; pure."""

from __future__ import annotations

from timelab.diff.cases import ANSWERS, CasePair, pair_cases
from timelab.diff.causes import CAUSES, NONDETERMINISM, Cause, Change, causes_of, changes
from timelab.diff.files import TOLERANCE, Difference, FileDiff, Verdict, compare_file, compare_outputs

__all__ = [
    "ANSWERS",
    "CAUSES",
    "NONDETERMINISM",
    "TOLERANCE",
    "CasePair",
    "Cause",
    "Change",
    "Difference",
    "FileDiff",
    "Verdict",
    "causes_of",
    "changes",
    "compare_file",
    "compare_outputs",
    "pair_cases",
]
