"""A measurement: its value, what is aimed at, and the same done with as little code as possible, measured beside it.

The machine, the Python and whoever else runs move both numbers alike; their ratio is what is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Figure", "table"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `aim` None: it is only told."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    more_is_better: bool = False
    reference: float | None = None
    reference_is: str = ""

    @property
    def missed(self) -> bool:
        """Whether it falls short of its aim."""
        if self.aim is None:
            return False
        return self.value < self.aim if self.more_is_better else self.value > self.aim

    def cells(self) -> tuple[str, ...]:
        """As text: name, value, aim, reference, ratio, what the reference is."""
        sign = "≥" if self.more_is_better else "≤"
        aim = "" if self.aim is None else f"{sign} {_number(self.aim)}" + (" MISSED" if self.missed else "")
        if self.reference is None:
            return (self.name, f"{_number(self.value)} {self.unit}", aim, "", "", self.reference_is)
        ratio = f"{self.value / self.reference:.2f}"
        return (self.name, f"{_number(self.value)} {self.unit}", aim, _number(self.reference), ratio, self.reference_is)


def table(figures: Iterable[Figure]) -> str:
    """All of them as a Markdown table."""
    head = ("figure", "value", "aim", "reference", "ratio", "the reference is")
    rows = [head, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"
