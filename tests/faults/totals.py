"""Sums the runs in log.csv by engine; run.sh --totals calls it."""
import collections
import csv
import pathlib

totals = collections.defaultdict(collections.Counter)
with open(pathlib.Path(__file__).parent / "log.csv", newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        totals[row["engine"]].update(
            runs=1, passed=int(row["result"] == "passed"), seconds=int(row["seconds"]),
            faults=int(row["faults"]), events=int(row["events"]))
for engine, sums in sorted(totals.items()):
    print(f"{engine}: {sums['passed']} of {sums['runs']} runs passed, {sums['seconds']} s, "
          f"{sums['faults']} faults, {sums['events']} events")
