# SPDX-License-Identifier: Apache-2.0
"""The table of the measurements: plain text, tab-separated values, Markdown."""

HEAD = ["measurement", "unit", "kvmlet", "reference", "peer", "/ reference", "/ peer", "budget", ""]


class Budget:
    """A goal: 'text' says it, 'holds' takes (kvmlet, reference, peer) and says whether it is met."""

    def __init__(self, text, holds):
        self.text, self.holds = text, holds


class Row:
    """One measurement. A series is what timing.summary gives, or None; 'scale' turns it into 'unit'."""

    def __init__(self, name, unit, scale, kvmlet, reference=None, peer=None, budget=None):
        self.name, self.unit, self.scale = name, unit, scale
        self.series = [kvmlet, reference, peer]
        self.budget = budget

    def median(self, i):
        return self.series[i]["median"] if self.series[i] else None

    def cell(self, i):
        s = self.series[i]
        if s is None:
            return "-"
        low, middle = s["min"] * self.scale, s["median"] * self.scale
        # What is a rate is best when it is large.
        best = s["max"] * self.scale if self.is_rate() else low
        return number(middle) if s["runs"] == 1 else f"{number(middle)} ({number(best)})"

    def is_rate(self):
        return self.unit.endswith("/s")

    def ratio(self, i):
        if not self.median(i):
            return "-"
        return f"{self.median(0) / self.median(i):.2f}"

    def verdict(self):
        if self.budget is None:
            return ""
        medians = [self.median(i) for i in range(3)]
        try:
            return "met" if self.budget.holds(*medians) else "MISSED"
        except TypeError:  # a side that was not measured
            return "not measured"

    def cells(self):
        return [self.name, self.unit, self.cell(0), self.cell(1), self.cell(2), self.ratio(1), self.ratio(2),
                self.budget.text if self.budget else "", self.verdict()]


def number(value):
    """Three digits that matter."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def text_table(rows):
    lines = [HEAD] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "".join("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() + "\n" for line in lines)


def markdown_table(rows):
    lines = [HEAD, ["---"] * len(HEAD)] + [row.cells() for row in rows]
    return "".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |\n" for line in lines)


def tsv_table(rows):
    """Unrounded, for programs: every series as median, min, max."""
    head = ["measurement", "unit"]
    head += [f"{who}_{what}" for who in ("kvmlet", "reference", "peer") for what in ("median", "min", "max", "runs")]
    lines = [head + ["budget", "verdict"]]
    for row in rows:
        values = [row.name, row.unit]
        for s in row.series:
            keys = ("median", "min", "max")
            values += [f"{s[k] * row.scale:.6g}" for k in keys] + [str(s["runs"])] if s else [""] * 4
        lines.append(values + [row.budget.text if row.budget else "", row.verdict()])
    return "".join("\t".join(line) + "\n" for line in lines)
