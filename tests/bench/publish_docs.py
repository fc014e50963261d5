#!/usr/bin/python3
"""Copies what docs/performance.md links to from build/bench/ to docs/performance/.

  tests/bench/publish_docs.py results   the table and the plots that tests/bench/run.sh wrote
  tests/bench/publish_docs.py flames    the flame graphs that tests/bench/profile.sh wrote

The page decides what is committed: a plot is published if the page links to it, and removed from
docs/performance/ if the page no longer does.  The page may link to at most eight pictures.
"""
import argparse
import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/performance.md"
SOURCE = ROOT / "build/bench"
TARGET = ROOT / "docs/performance"
MOST_PICTURES = 8
LINK = re.compile(r"\]\(performance/([^)#\s]+)")


class Refused(Exception):
    """Nothing was copied, for this reason."""


def linked(page):
    """The names of the files in docs/performance/ that the page's text links to."""
    return set(LINK.findall(page))


def written_by(what, name):
    """Whether the script that makes `what` ("results" or "flames") writes the file `name`."""
    return name.startswith("flame_") == (what == "flames")


def publish(what, page, source, target):
    """Makes `target` hold what the page links to, and returns the names of the copied files.

    Copies only the files that the script for `what` writes; the others stay as they are.  Removes
    files that the page does not link to.  Changes nothing if it raises Refused.
    """
    names = linked(page)
    pictures = [n for n in names if n.endswith(".svg")]
    if len(pictures) > MOST_PICTURES:
        raise Refused(f"the page links to {len(pictures)} pictures, {MOST_PICTURES} at most are "
                      "committed")
    wanted = sorted(n for n in names if written_by(what, n))
    missing = [n for n in wanted if not (source / n).is_file()]
    if missing:
        raise Refused(f"not in {source}: {', '.join(missing)}")
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        if old.name not in names:
            old.unlink()
    for name in wanted:
        shutil.copyfile(source / name, target / name)
    return wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("results", "flames"))
    options = parser.parse_args()
    try:
        names = publish(options.what, PAGE.read_text(), SOURCE, TARGET)
    except Refused as reason:
        sys.exit(f"nothing published: {reason}")
    print(f"docs/performance/: {', '.join(names)}", file=sys.stderr)


if __name__ == "__main__":
    main()
