"""The code blocks of README.md and docs/, and whether what they show is what comes.

A comment of its own line, right before a block, may say how the block is run:

  <!-- not run: needs root -->                                 it is not, and why
  <!-- run by tests/integration/js_page_test.py -->            by another test, which names it
  <!-- runs on -->                                             it ends only when it is stopped
  <!-- runs on: 3 subscriptions -->                            likewise; waits for three (one is usual)
"""
import json
import re

from .config import ROOT

MARKER = re.compile(r"<!-- (not run|run by|runs on)(?::? (.*))? -->$")
FENCE = re.compile(r"( *)```(.*)$")

# What differs from run to run: what fits one of these in a document stands for all that fits it.
VARYING = [
    r"\d\d:\d\d:\d\d\.\d{3}(?= )",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*(?:Z|\+00:00)",
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])",
    r"\((?:g\+\+|clang) [^()]+, \w+\)",  # the compiler and the build type
    "…",
]
NUMBERS = [r"\d[\d.,]*(?: (?:B|KiB|MiB)\b)?", r" +"]


class Block:
    """One code block: where it begins, its language ("" if none), its text and its marker."""

    def __init__(self, document, line, language, code, how, detail):
        self.document = document  # "docs/cli.md"
        self.line = line
        self.language = language
        self.code = code
        self.how = how  # of the marker: "not run", "run by", "runs on" or None
        self.detail = detail

    def __str__(self):
        return f"{self.document}:{self.line}"


def documents():
    """The names of all documents with code that a reader may copy.  Decision records have none."""
    pages = (ROOT / "docs").rglob("*.md")
    return ["README.md", *sorted(str(page.relative_to(ROOT)) for page in pages
                                 if "adr" not in page.parts)]


def blocks(document):
    """The code blocks of a document in their order."""
    found, opened, before = [], None, ""
    for number, line in enumerate((ROOT / document).read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if opened:
            if fence and not fence[2]:
                opened.code = "".join(f"{each}\n" for each in opened.code)
                found.append(opened)
                opened = None
            else:
                opened.code.append(line)
        elif fence:
            marker = MARKER.match(before.strip())
            how, detail = marker.groups() if marker else (None, None)
            opened = Block(document, number, fence[2], [], how, detail)
        before = line
    assert opened is None, f"{opened}: the block has no end"
    return found


def pattern(text, numbers_vary):
    """A regular expression for what a text of a document stands for."""
    rules = VARYING + (NUMBERS if numbers_vary else [])
    made, at = "", 0
    for found in re.finditer("|".join(rules), text):
        rule = next(rule for rule in rules if re.match(rule, text[found.start():]))
        made += re.escape(text[at:found.start()]) + (".*" if rule == "…" else f"(?:{rule})")
        at = found.end()
    return made + re.escape(text[at:])


def describes(shown, real, values_vary=True):
    """Whether a JSON value of a document shows what `real` is: the same keys in the same order, and
    the same values, or if they vary, values of the same types.  "…" as a key stands for any others,
    and in a text for any.  Of a list, and of an object whose keys are channels, what is shown must
    be there.
    """
    if isinstance(shown, dict) and isinstance(real, dict):
        keys = [key for key in shown if key != "…"]
        some = "…" in shown or any(":" in key for key in keys)
        return (some or keys == list(real)) and all(
            key in real and describes(shown[key], real[key], values_vary) for key in keys)
    if isinstance(shown, list) and isinstance(real, list):
        return all(any(describes(one, other, values_vary) for other in real) for one in shown)
    if isinstance(shown, str) and isinstance(real, str):
        return values_vary or bool(re.fullmatch(pattern(shown, False), real))
    if any(isinstance(value, bool) or value is None for value in (shown, real)):
        return type(shown) is type(real) and (values_vary or shown == real)
    number = (int, float)
    return isinstance(shown, number) and isinstance(real, number) and (values_vary or shown == real)


def parsed(text):
    """The JSON of a line, in which "{…}" stands for any object; None if it is none."""
    try:
        return json.loads(text.replace("{…}", '{"…": "…"}'))
    except ValueError:
        return None


def fits(line, real, values_vary):
    """Whether a line of a document stands for a real one."""
    wanted = parsed(line) if line[0] in "{[" else None
    if wanted is not None:
        return describes(wanted, parsed(real), values_vary)
    return re.fullmatch(pattern(line, values_vary) + r"\s*", real) is not None


def missing_in_order(expected, output):
    """The first line of `expected` that `output` does not have after those before it; None if it has
    all.  Other lines may be between them, and numbers and the width of columns may differ.
    """
    rest = iter(output.splitlines())
    for line in filter(None, map(str.rstrip, expected)):
        if not any(fits(line, real, True) for real in rest):
            return line
    return None


def missing(expected, output):
    """The first line of `expected` that `output` does not have; None if it has all.  The order does
    not matter: events of different channels may change places.
    """
    rest = output.splitlines()
    for line in filter(None, map(str.rstrip, expected)):
        found = next((real for real in rest if fits(line, real, False)), None)
        if found is None:
            return line
        rest.remove(found)
    return None
