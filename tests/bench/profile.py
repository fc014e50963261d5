#!/usr/bin/python3
"""Flame graphs of a worker and of control under load: see tests/bench/profile.sh."""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import flame_graph
import servers

HERTZ = 997
HISTORY = 4


class ControlWithShortHistories(servers.FanwireControl):
    """Whose histories are full, so that what is seen is not the taking of fresh memory."""
    rule = f'{{pattern: "**", history_size: {HISTORY}}}'


def start(server, program, args):
    """The load; what is measured begins after its warm-up."""
    return subprocess.Popen(
        ["taskset", "-c", server.load_core, str(pathlib.Path(server.bin) / program),
         *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def worker_load(server, seconds):
    return start(server, "bench_load",
                 [*server.load_args(), "--publish", "stream", "--connections", 1000, "--window", 1,
                  "--spin", "--warmup", 1, "--seconds", seconds])


def control_load(server, seconds):
    return start(server, "bench_publish",
                 ["--server", f"unix:{server.socket}", "--service", "bench", "--kind", "stream",
                  "--channels", 1000, "--in-flight", 8, "--port", server.port, "--fill-history",
                  HISTORY, "--warmup", 1, "--seconds", seconds])


def record(pid, seconds):
    """The stacks of `pid` while it works, folded: (outermost, …, innermost) -> samples."""
    with tempfile.TemporaryDirectory(prefix="fanwire-perf-") as folder:
        data = f"{folder}/perf.data"
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "--call-graph",
                        "dwarf,16384", "-p", str(pid), "-o", data, "--", "sleep", str(seconds)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        script = subprocess.run(
            ["perf", "script", "--no-inline", "-F", "comm,pid,tid,time,event,ip,sym,dso", "-i",
             data], check=True, capture_output=True, text=True, errors="replace").stdout
    return flame_graph.fold(script)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of the built programs")
    parser.add_argument("--out", required=True, help="folder for the graphs")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)

    for name, title, server_class, load, pid_of in (
            ("flame_worker", "Worker: 1,000 subscribers, 512 B, one publication in flight",
             servers.Fanwire, worker_load, lambda server: server.pids()[0]),
            ("flame_control", "Control: a stream to 1,000 channels, 512 B, one worker's interest",
             ControlWithShortHistories, control_load, lambda server: server.control_pid())):
        with server_class(options.bin) as server:
            program = load(server, options.seconds + 5)
            try:
                program.wait(timeout=3)
            except subprocess.TimeoutExpired:
                pass
            else:
                sys.exit(f"{name}: the load ended: {program.stderr.read().strip()}")
            stacks = record(pid_of(server), options.seconds)
            program.kill()
            program.wait()
        (out / f"{name}.svg").write_text(flame_graph.svg(stacks, title))
        print(f"{title}\n{flame_graph.summary(stacks)}\n")


main()
