#!/usr/bin/python3
"""Runs the benchmark: see tests/bench/run.sh, which builds what this needs."""
import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import measure
import report
import rows

FAULTS = ("gaps", "duplicates", "closed")


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "count": len(values)}


def ratio(metric, mine, base):
    """How one case does against another: the median over the rounds that both have, for the
    machine's speed changes from round to round.  Above 1 is better; None if there is none."""
    pairs = [(mine[r].get(metric.field, 0), base[r].get(metric.field, 0))
             for r in mine.keys() & base.keys()]
    found = [a / b if metric.higher else b / a for a, b in pairs if a > 0 and b > 0]
    return statistics.median(found) if found else None


def run_row(row, bin_dir):
    """The row's results, one per metric; the first has the samples."""
    cases = [c for c in row.cases if c.available()]
    by_round = {c.name: {} for c in cases}
    for done in range(row.rounds):
        for case in cases:
            if case.rounds and done >= case.rounds:
                continue
            try:
                by_round[case.name][done] = case.run(bin_dir)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"    {case.name}: {error}", file=sys.stderr)
    samples = {n: list(got.values()) for n, got in by_round.items()}
    references = [c.name for c in cases[:row.references]]
    faults = {n: {k: sum(s.get(k, 0) for s in got) for k in FAULTS} for n, got in samples.items()}
    results = []
    for metric in row.metrics:
        results.append({
            "key": metric.key, "group": row.group, "title": metric.title, "field": metric.field,
            "unit": metric.unit, "higher": metric.higher, "rounds": row.rounds,
            "references": references,
            "ratios": {n: {r: ratio(metric, got, by_round[r]) for r in references}
                       for n, got in by_round.items()},
            "values": {n: summary([s[metric.field] for s in got])
                       for n, got in samples.items() if got and metric.only in ("", n)},
            "faults": {n: f for n, f in faults.items() if any(f.values())},
        })
    results[0]["samples"] = samples
    return results


def samples_of(results, key, case):
    return next((r["samples"].get(case, []) for r in results
                 if r["key"] == key and "samples" in r), [])


def curve(plan, results):
    """A curve with its points: what of it was measured."""
    series = {}
    for name, points in plan.series.items():
        found = [(x, samples_of(results, key, case)) for x, key, case in points]
        series[name] = [{"x": x, **summary([s[plan.field] for s in got])}
                        for x, got in found if got]
    return {"key": plan.key, "group": plan.group, "title": plan.title, "x_label": plan.x_label,
            "unit": plan.unit, "series": series}


def shares(plan, results):
    cases = next((r["samples"] for r in results if r["key"] == plan.row), {})
    return {"key": plan.key, "group": plan.group, "title": plan.title, "unit": plan.unit,
            "values": {name: {label: statistics.median(s[field] for s in got)
                              for label, field in plan.fields.items()}
                       for name, got in cases.items() if got}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of the built programs")
    parser.add_argument("--quick", action="store_true", help="about two minutes, no medians")
    parser.add_argument("--only", default="", help="rows whose key begins with this")
    parser.add_argument("--out", default="", help="folder for results.json, table and plots")
    options = parser.parse_args()

    started = time.time()
    plan = rows.Plan(options.quick)
    results = []
    for row in plan.rows:
        if not any(m.key.startswith(options.only) for m in row.metrics):
            continue
        print(f"{row.metrics[0].title} …", file=sys.stderr, flush=True)
        row_started = time.time()
        for result in run_row(row, options.bin):
            results.append(result)
            print(report.row_text(result), flush=True)
        results[-len(row.metrics)]["seconds"] = round(time.time() - row_started, 1)
    micro = None
    if "micro".startswith(options.only) or options.only.startswith("micro"):
        print("micro-benchmarks …", file=sys.stderr, flush=True)
        micro = measure.micro(options.bin, 0.01 if options.quick else 0.1)
        print(report.micro_text(micro), flush=True)
    about = {
        "date": time.strftime("%Y-%m-%d"), "kernel": platform.release(),
        "cores": os.cpu_count(), "seconds": round(time.time() - started),
        "command": "tests/bench/run.sh" + (" --quick" if options.quick else ""),
    }
    if options.out:
        report.write(pathlib.Path(options.out), about, {
            "rows": results,
            "curves": [curve(c, results) for c in plan.curves],
            "shares": [shares(s, results) for s in plan.shares],
            "micro": micro,
        }, complete=not options.only and not options.quick)
    print(f"took {about['seconds']} s", file=sys.stderr)


main()
