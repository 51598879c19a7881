"""A picture of what searches across the population cost as it grows.

    python -m benchmarks.curves docs/growth.svg 1000.json 8000.json 64000.json

from the files that `benchmarks.population --json` wrote; needs the extra `plots`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

LIFE = 62  # resources of a person, see growing.py
LIMIT_MS = 20
MILLISECONDS = (2, 3, 5, 10, 20, 50)


def curves(measured: list[dict[str, Any]]) -> Figure:
    """The median of each shape with one client, over the number of people."""
    ordered = sorted(measured, key=lambda one: one["patients"])
    people = [one["patients"] for one in ordered]
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    for position, name in enumerate(name for name in ordered[0]["searches"] if not name.startswith("mixed")):
        medians = [one["searches"][name]["p50_ms"] for one in ordered]
        # ten colours, then dashed; a label that began with "_" would be left out
        axes.plot(people, medians, marker="o", linestyle=("-", "--")[position // 10], label=f" {name}")
    axes.axhline(LIMIT_MS, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel=f"people ({LIFE} resources each)", ylabel="p50 of one client, ms")
    axes.set_xticks(people, [f"{one:,}" for one in people], minor=False)
    axes.set_yticks(MILLISECONDS, [str(one) for one in MILLISECONDS], minor=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([], minor=True)
    axes.set_title("Searches across the population, gate and audit on")
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.curves")
    parser.add_argument("picture", type=Path, help="the SVG file to write")
    parser.add_argument("files", type=Path, nargs="+", help="what benchmarks.population measured, one file a size")
    wanted = parser.parse_args()
    curves([json.loads(file.read_text()) for file in wanted.files]).savefig(wanted.picture)
