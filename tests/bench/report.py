"""Turns the benchmark's results into text, JSON and plots."""
import json

import rows

OURS, THEIRS, LINE = "#0b7285", "#adb5bd", "#495057"
SHARES = ["#0b7285", "#f08c00", "#adb5bd"]


def number(value):
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    if value >= 1e4:
        return f"{value / 1e3:.0f}k"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def ratios(result, name):
    """How `name` does against each reference of the row, as text; above 1 is better than it."""
    if len(result["values"]) < 2:
        return ""
    found = (result["ratios"][name][reference] for reference in result["references"])
    return "; ".join(f"{ratio:.2f}" for ratio in found if ratio is not None)


def row_text(result):
    rounds = result["rounds"]
    lines = [f"{result['title']}  [{result['key']}"
             + (f", median of {rounds}]" if rounds > 1 else "]")]
    for name, value in result["values"].items():
        lines.append(
            f"    {name:34} {number(value['median']):>8} {result['unit']:12}"
            f" ({number(value['min'])} – {number(value['max'])})   {ratios(result, name)}")
    for name, faults in result["faults"].items():
        lines.append(f"    {name}: " + ", ".join(f"{v} {k}" for k, v in faults.items() if v))
    return "\n".join(lines)


def micro_rate(benchmark):
    """The first counter that a benchmark tells beside its time, as text."""
    for key, unit in (("items_per_second", "items/s"), ("bytes_per_second", "B/s")):
        if key in benchmark:
            return f"{number(benchmark[key])} {unit}"
    return ""


def micro_text(micro):
    return "\n".join(
        f"    {b['name']:44} {number(b['cpu_time']):>8} {b['time_unit']}   {micro_rate(b)}"
        for b in micro["benchmarks"])


def table(results):
    lines = ["| measure | of | median | min – max | against |", "|---|---|---|---|---|"]
    for result in results:
        title = result["title"]
        for name, value in result["values"].items():
            faults = result["faults"].get(name, {})
            note = ", ".join(f"{v} {k}" for k, v in faults.items() if v)
            lines.append(
                f"| {title} | {name}{f' ({note})' if note else ''} "
                f"| {number(value['median'])} {result['unit']} "
                f"| {number(value['min'])} – {number(value['max'])} "
                f"| {ratios(result, name)} |")
            title = ""
    return "\n".join(lines) + "\n"


def curve_table(curve):
    xs = sorted({p["x"] for points in curve["series"].values() for p in points})
    lines = [f"| {curve['title']} | " + " | ".join(f"{x:,} {curve['x_label']}" for x in xs) + " |",
             "|---" * (len(xs) + 1) + "|"]
    for name, points in curve["series"].items():
        by_x = {p["x"]: p["median"] for p in points}
        cells = [f"{number(by_x[x])} {curve['unit']}" if x in by_x else "" for x in xs]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shares_table(shares):
    labels = list(next(iter(shares["values"].values())))
    lines = [f"| {shares['title']} | " + " | ".join(labels) + " |",
             "|---" * (len(labels) + 1) + "|"]
    for name, parts in shares["values"].items():
        cells = [f"{number(parts[label])} {shares['unit']}" for label in labels]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def micro_table(micro):
    lines = ["| function | CPU time | rate |", "|---|---|---|"]
    for benchmark in micro["benchmarks"]:
        lines.append(f"| {benchmark['name']} | {number(benchmark['cpu_time'])} "
                     f"{benchmark['time_unit']} | {micro_rate(benchmark)} |")
    return "\n".join(lines) + "\n"


def has_points(curve):
    return any(len(points) > 1 for points in curve["series"].values())


def page(about, outcome):
    """All tables, as Markdown.  It links to no other file, so that it can be committed alone."""
    out = ["# Benchmark results\n",
           f"Made by `{about['command']}` on {about['date']}: {about['cores']} cores, kernel "
           f"{about['kernel']}, {about['seconds']} s.  The last column is how often better the "
           "median is than that of the first line of its row; where that is a floor followed by one "
           "with the same wire as Fanwire, than that of each.\n"]
    for group, sentence in rows.GROUPS.items():
        results = [r for r in outcome["rows"] if r["group"] == group]
        if not results:
            continue
        out += [f"## {group.capitalize()}\n", sentence + "\n", table(results)]
        curves = [c for c in outcome["curves"] if c["group"] == group and has_points(c)]
        out += [curve_table(c) for c in curves]
        shares = [s for s in outcome["shares"] if s["group"] == group and s["values"]]
        out += [shares_table(s) for s in shares]
    if outcome["micro"]:
        out += ["## Micro\n", "Single functions on one core, by Google Benchmark "
                "(`bench_micro`).\n", micro_table(outcome["micro"])]
    return "\n".join(out)


def bars(pyplot, result):
    names = list(result["values"])
    medians = [result["values"][n]["median"] for n in names]
    spread = [[m - result["values"][n]["min"] for m, n in zip(medians, names)],
              [result["values"][n]["max"] - m for m, n in zip(medians, names)]]
    figure, axes = pyplot.subplots(figsize=(7, 0.7 + 0.4 * len(names)))
    theirs = any(n.startswith("Fanwire") for n in names)
    colors = [OURS if n.startswith("Fanwire") or not theirs else THEIRS for n in names]
    axes.barh(names, medians, xerr=spread, color=colors, ecolor=LINE)
    axes.invert_yaxis()
    axes.set_title(result["title"], fontsize=10)
    axes.set_xlabel(result["unit"])
    return figure


def lines(pyplot, curve):
    figure, axes = pyplot.subplots(figsize=(7, 3.5))
    colors, floors = iter([OURS, "#f08c00", "#862e9c"]), iter([THEIRS, LINE])
    for name, points in curve["series"].items():
        xs, medians = [p["x"] for p in points], [p["median"] for p in points]
        color = next(floors if name.startswith("floor") else colors)
        axes.plot(xs, medians, marker="o", label=name, color=color)
        axes.fill_between(xs, [p["min"] for p in points], [p["max"] for p in points],
                          color=color, alpha=0.2)
    axes.set_xscale("log")
    ticks = sorted({p["x"] for points in curve["series"].values() for p in points})
    axes.set_xticks(ticks, [f"{x:,}" for x in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_title(curve["title"], fontsize=10)
    axes.set_xlabel(curve["x_label"])
    axes.set_ylabel(curve["unit"])
    axes.grid(color="#dee2e6")
    if len(curve["series"]) > 1:
        axes.legend()
    return figure


def stacked(pyplot, shares):
    names = list(shares["values"])
    figure, axes = pyplot.subplots(figsize=(7, 1.6 + 0.4 * len(names)))
    left = [0] * len(names)
    for label, color in zip(next(iter(shares["values"].values())), SHARES):
        widths = [shares["values"][n][label] for n in names]
        axes.barh(names, widths, left=left, label=label, color=color)
        left = [a + b for a, b in zip(left, widths)]
    axes.invert_yaxis()
    axes.set_title(shares["title"], fontsize=10)
    axes.set_xlabel(shares["unit"])
    axes.legend(fontsize=8, ncols=len(SHARES), loc="upper center", bbox_to_anchor=(0.5, -0.5))
    return figure


def plots(folder, outcome):
    """Draws all plots; returns their files."""
    try:
        import matplotlib
    except ImportError:
        print("no plots: python3-matplotlib is not installed")
        return set()
    matplotlib.use("Agg")
    from matplotlib import pyplot
    matplotlib.rcParams["svg.hashsalt"] = "fanwire"
    wanted = [(bars, r) for r in outcome["rows"] if len(r["values"]) > 1]
    wanted += [(lines, c) for c in outcome["curves"] if has_points(c)]
    wanted += [(stacked, s) for s in outcome["shares"] if s["values"]]
    drawn = set()
    for draw, what in wanted:
        figure = draw(pyplot, what)
        figure.tight_layout()
        drawn.add(folder / f"{what['key']}.svg")
        figure.savefig(folder / f"{what['key']}.svg", metadata={"Date": None})
        pyplot.close(figure)
    return drawn


def write(folder, about, outcome, complete):
    """Writes results.json, micro.json, results.md and all plots into `folder`.

    A complete run also removes the plots of earlier runs that it did not draw again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in outcome.items() if k != "micro"}
    (folder / "results.json").write_text(json.dumps({"about": about, **kept}, indent=1) + "\n")
    if outcome["micro"]:
        (folder / "micro.json").write_text(json.dumps(outcome["micro"], indent=1) + "\n")
    (folder / "results.md").write_text(page(about, outcome))
    drawn = plots(folder, outcome)
    for old in set(folder.glob("*.svg")) - drawn if complete else ():
        if not old.name.startswith("flame_"):
            old.unlink()
