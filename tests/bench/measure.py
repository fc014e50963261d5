"""One measurement each: starts a server, runs a program of load against it, returns its numbers."""
import json
import pathlib
import subprocess

import servers
from servers import Fanwire, FanwireControl


def run_program(bin_dir, core, program, args, timeout=180):
    out = subprocess.run(
        ["taskset", "-c", core, str(pathlib.Path(bin_dir) / program), *map(str, args)],
        capture_output=True, text=True, timeout=timeout)
    if out.returncode != 0:
        raise RuntimeError(f"{program}: {out.stderr.strip()}")
    return json.loads(out.stdout)


def drop_option(args, name):
    if name not in args:
        return args
    at = args.index(name)
    return args[:at] + args[at + 2:]


def load(bin_dir, server_class, args, seconds, warmup=0.3, idle=False):
    """bench_load against one server; `idle`: connections that subscribe to nothing."""
    with server_class(bin_dir) as server:
        arguments = [*args, "--seconds", seconds, "--warmup", 0 if idle else warmup]
        for pid in server.pids():
            arguments += ["--pid", pid]
        own = server.load_args()
        if idle:
            # An idle Fanwire session has no subscription; the peers' need none.
            own = drop_option(drop_option(own, "--subscribe"), "--frames-before-ready")
            if isinstance(server, Fanwire):
                own += ["--frames-before-ready", "1"]
        else:
            own += ["--publish", server.publish]
        return run_program(bin_dir, server.load_core, "bench_load", own + arguments)


def publish(bin_dir, args, seconds, interest, history=None):
    """bench_publish against control; `interest`: a worker gets every publication.

    `history`: entries of each channel, all of them filled before it is measured.
    """
    control = FanwireControl(bin_dir)
    if history is not None:
        control.rule = f'{{pattern: "publish:*", history_size: {history}}}'
        args = [*args, "--fill-history", history]
    with control as server:
        arguments = ["--server", f"unix:{server.socket}", "--service", "bench",
                     "--pid", server.control_pid(), "--seconds", seconds, *args]
        if interest:
            arguments += ["--port", server.port]
            for pid in server.pids():
                arguments += ["--worker-pid", pid]
        return run_program(bin_dir, server.load_core, "bench_publish", arguments)


def fairness(bin_dir, flood_connections, flood_service, seconds):
    """The latency of 20 channels with one subscriber and 20 publications a second each.

    Beside them, unless `flood_service` is None, a channel of that service with `flood_connections`
    subscribers is flooded: two windows of 32 publications are always under way.  Its generator runs
    at the lowest priority, so that what the quiet ones wait for is the worker.
    """
    with Fanwire(bin_dir) as server:
        flood = None
        program = str(pathlib.Path(bin_dir) / "bench_load")
        try:
            if flood_service:
                flood = subprocess.Popen(
                    ["taskset", "-c", server.load_core, "nice", "-n", "19", program,
                     *server.load_args(flood_service, "flood"), "--publish", "stream",
                     "--connections", str(flood_connections), "--window", "32", "--ahead", "2",
                     "--seconds", str(seconds + 3), "--warmup", "0.3", "--announce"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                line = flood.stderr.readline()
                if line.strip() != "measuring":
                    raise RuntimeError(f"flood: {line}{flood.stderr.read()}".strip())
            arguments = [*server.load_args("bench", "quiet"), "--publish", "stream",
                         "--connections", 20, "--channels-total", 20, "--channels-each", 1,
                         "--rate", 400, "--seconds", seconds, "--warmup", 0.3]
            for pid in server.pids():
                arguments += ["--pid", pid]
            result = run_program(bin_dir, server.load_core, "bench_load", arguments)
            if flood:
                if flood.poll() is not None:
                    raise RuntimeError("flood: it ended before the quiet channels were measured: "
                                       + flood.stderr.read().strip())
                out, errors = flood.communicate(timeout=60)
                if flood.returncode != 0:
                    raise RuntimeError(f"flood: {errors.strip()}")
                result["flood"] = json.loads(out)
                result["closed"] += result["flood"]["closed"]
            return result
        finally:
            if flood and flood.poll() is None:
                flood.kill()
                flood.wait()


def micro(bin_dir, seconds):
    """bench_micro's own JSON: its context, and its benchmarks."""
    return run_program(bin_dir, servers.SERVER_CORE, "bench_micro",
                       ["--benchmark_format=json", f"--benchmark_min_time={seconds}"], timeout=300)
