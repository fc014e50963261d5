"""Folds the output of `perf script` and draws it as an SVG flame graph.

A graph needs no script and no other file: a box's full name and share are its tooltip.
"""
import collections
import html
import re
import zlib

WIDTH, ROW, MARGIN = 1200, 16, 8
FONT = 11
LEAST = 0.1  # percent; narrower boxes are left out
KERNEL = "[k]"
# "    ffffffff81e0 tcp_sendmsg_locked+0x12 ([kernel.kallsyms])"
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")


def plain(symbol):
    """A C++ name short enough to read: without arguments, template arguments and offset."""
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
    # Lambdas and anonymous namespaces have parentheses of their own.
    symbol = symbol.replace("(anonymous namespace)::", "").replace("{lambda(", "{lambda ")
    symbol = symbol.replace("fanwire::", "")
    symbol = re.sub(r"\boperator(<<|<=|<|>>|>=|>|->|\(\))", "operator", symbol)
    depth, out = 0, []
    for letter in symbol:
        if letter in "<(":
            depth += 1
        elif letter in ">)":
            depth = max(0, depth - 1)
        elif depth == 0:
            out.append(letter)
    return "".join(out).removesuffix(" const").strip() or symbol


def fold(script):
    """(outermost, …, innermost) -> samples.  Kernel's functions end in KERNEL."""
    stacks = collections.Counter()
    frames = []

    def take():
        if frames:
            stacks[tuple(reversed(frames))] += 1
            frames.clear()

    for line in script.splitlines():
        match = FRAME.match(line)
        if match:
            symbol, where = match.groups()
            if symbol.startswith("[unknown]"):
                symbol = f"[{where.rsplit('/', 1)[-1].strip('[]')}]"
            kernel = where.startswith(("[kernel", "[guest.kernel")) or where.endswith(".ko")
            frames.append(plain(symbol) + (f" {KERNEL}" if kernel else ""))
        elif not line.strip():
            take()
    take()
    return stacks


def summary(stacks, count=15):
    """The kernel's share, and the functions that most samples were in."""
    total = sum(stacks.values())
    if not total:
        return "  no samples"
    own = collections.Counter()
    for stack, samples in stacks.items():
        own[stack[-1]] += samples
    kernel = sum(n for name, n in own.items() if name.endswith(KERNEL))
    lines = [f"  {total} samples, {100 * kernel / total:.1f} % of them in the kernel, "
             f"{100 * (total - kernel) / total:.1f} % in user space"]
    lines += [f"  {100 * n / total:5.1f} %  {name}" for name, n in own.most_common(count)]
    return "\n".join(lines)


class Box:
    """A function called from another, with all that it calls."""

    def __init__(self):
        self.samples = 0
        self.callees = {}


def tree(stacks):
    root = Box()
    for stack, samples in stacks.items():
        box = root
        box.samples += samples
        for name in stack:
            box = box.callees.setdefault(name, Box())
            box.samples += samples
    return root


def color(name):
    """Blue for the kernel, orange for user space; the shade tells neighbours apart."""
    shade = zlib.crc32(name.encode()) % 40
    if name.endswith(KERNEL):
        return f"rgb({110 + shade},{160 + shade},{205 + shade // 2})"
    return f"rgb({225 + shade // 2},{130 + shade * 2},{60 + shade})"


def svg(stacks, title):
    root = tree(stacks)
    total = max(root.samples, 1)
    scale = (WIDTH - 2 * MARGIN) / total
    boxes = []

    def place(box, name, left, depth):
        percent = 100 * box.samples / total
        if percent < LEAST:
            return
        boxes.append((name, left, box.samples, depth, percent))
        for callee, inner in sorted(box.callees.items()):
            place(inner, callee, left, depth + 1)
            left += inner.samples

    place(root, "all", 0, 0)
    height = (max((b[3] for b in boxes), default=0) + 1) * ROW + 4 * MARGIN + 2 * ROW
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           f'font-family="monospace" font-size="{FONT}">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
           f'<text x="{WIDTH / 2}" y="{MARGIN + ROW}" text-anchor="middle" font-size="15">'
           f"{html.escape(title)}</text>",
           f'<text x="{MARGIN}" y="{height - MARGIN}">{total} samples; blue: kernel, orange: user '
           "space; a box is as wide as its share</text>"]
    bottom = height - 2 * MARGIN - ROW
    for name, left, samples, depth, percent in boxes:
        x, width = MARGIN + left * scale, samples * scale
        y = bottom - (depth + 1) * ROW
        label = html.escape(name)
        out.append(f'<g><title>{label}: {percent:.1f} %</title><rect x="{x:.1f}" y="{y}" '
                   f'width="{max(width - 0.3, 0.3):.1f}" height="{ROW - 1}" '
                   f'fill="{color(name)}" rx="1"/>')
        letters = int((width - 4) / (FONT * 0.6))
        if letters >= 3:
            text = name if len(name) <= letters else name[:letters - 1] + "…"
            out.append(f'<text x="{x + 2:.1f}" y="{y + ROW - 4}">{html.escape(text)}</text>')
        out.append("</g>")
    return "\n".join(out) + "\n</svg>\n"
