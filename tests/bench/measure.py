"""One measurement each: starts a server, runs a program of load against it, returns its numbers."""
import json
import pathlib
import subprocess
import time

import servers
from servers import Fanwire, FanwireControl, FanwireLimited, FanwireTwo


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


def publish(bin_dir, args, seconds, interest, history=None, workers=1):
    """bench_publish against control; `interest`: the workers get every publication.

    `history`: entries of each channel, all of them filled before it is measured.
    """
    control = FanwireControl(bin_dir)
    control.workers = workers
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


def publish_python(bin_dir, kind, seconds):
    """publish_python.py against control, which has a core of its own, as has the publisher."""
    with FanwireControl(bin_dir) as server:
        program = pathlib.Path(__file__).with_name("publish_python.py")
        return run_program("/", server.load_core, servers.PYTHON.lstrip("/"), [
            program, "--server", f"unix:{server.socket}", "--service", "bench", "--kind", kind,
            "--seconds", seconds])


def link(bin_dir, seconds, workers=4):
    """What a publication costs on its way from control to a worker, at either end.

    Control's part is what so many workers with interest add to its CPU time for an event, divided
    by their number: one worker's would drown in the noise.
    """
    args = ["--kind", "stream", "--channels", 1, "--in-flight", 8, "--warmup", 0.2]
    alone = publish(bin_dir, args, seconds, False, history=4)
    # So many sessions that each worker has at least one; what they let pass costs the worker, too.
    linked = publish(bin_dir, [*args, "--sessions", 8 * workers], seconds, True, history=4,
                     workers=workers)
    control_us = (linked["cpu_us_per_event"] - alone["cpu_us_per_event"]) / workers
    worker_us = linked["worker_cpu_us_per_event"] / workers
    return {
        **linked,
        "link_control_us": control_us,
        "link_worker_us": worker_us,
        "link_events_per_second": linked["accepted_per_second"] * workers,
        # With a core at each end, of which the slower decides.
        "link_capacity": 1e6 / max(control_us, worker_us, 0.001),
    }


def session_memory(bin_dir, connections, further):
    """The worker's memory: of a session, and what its channels add.  All means of many sessions."""
    def each(*more, idle=False):
        return load(bin_dir, Fanwire, ["--connections", connections, *more], 0.1, warmup=0,
                    idle=idle)["memory_bytes_per_connection"]

    def own(channels):
        return each("--channels-total", connections * channels, "--channels-each", channels,
                    "--window", 1)

    alone = each(idle=True)
    first = own(1)
    return {
        "session_bytes": alone,
        "shared_channel_bytes": each("--window", 1) - alone,
        "own_channel_bytes": first - alone,
        "further_channel_bytes": (own(1 + further) - first) / further,
        "closed": 0,
    }


def spread(bin_dir, connections):
    """How the kernel spreads connections over two workers: the sessions of the one with fewer."""
    with FanwireTwo(bin_dir) as server:
        own = drop_option(drop_option(server.load_args(), "--subscribe"), "--frames-before-ready")
        program = subprocess.Popen(
            [str(pathlib.Path(bin_dir) / "bench_load"), *own, "--frames-before-ready", "1",
             "--connections", str(connections), "--seconds", "3", "--warmup", "0", "--announce"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            line = program.stderr.readline()
            if line.strip() != "measuring":
                raise RuntimeError(f"bench_load: {line}{program.stderr.read()}".strip())
            time.sleep(2)  # for a heartbeat of each
            sessions = [w["sessions"] for w in server.worker_list()]
        finally:
            program.kill()
            program.wait()
        if sum(sessions) != connections:
            raise RuntimeError(f"{connections} connections, but {sessions} on the workers")
        return {"fewest": min(sessions), "most": max(sessions),
                "fewest_percent": 100 * min(sessions) * len(sessions) / connections}


def fairness(bin_dir, flood_service, flood_args, seconds):
    """The latency of 20 channels with one subscriber and 20 publications a second each.

    Beside them, unless `flood_service` is None, that service gets what `flood_args` tell another
    bench_load.  It runs at the lowest priority, so that what the quiet ones wait for is the worker.
    """
    with Fanwire(bin_dir) as server:
        flood = None
        program = str(pathlib.Path(bin_dir) / "bench_load")
        try:
            if flood_service:
                flood = subprocess.Popen(
                    ["taskset", "-c", server.load_core, "nice", "-n", "19", program,
                     *server.load_args(flood_service, "flood"), "--publish", "stream",
                     *map(str, flood_args), "--seconds", str(seconds + 2), "--warmup", "0.3",
                     "--announce"],
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


def flooded(bin_dir, kind, seconds, connections=50):
    """The latency of 20 quiet channels, as in fairness(), beside clients that flood the worker.

    The generator of the flood shares the core of the quiet clients' generator, at the lowest
    priority.  With `kind` "sink" it floods itself: what others wait for then is the generator.
    """
    with FanwireLimited(bin_dir) as server:
        flood = None
        try:
            if kind == "history":
                fill = "".join(json.dumps({"service": "bench", "channel": "flood", "event": "e",
                                           "data": {"i": i}}) + "\n" for i in range(1000))
                subprocess.run(
                    [pathlib.Path(bin_dir) / "wsctl", "--server", f"unix:{server.socket}",
                     "publish", "--batch", "-"],
                    input=fill, text=True, check=True, stdout=subprocess.DEVNULL)
            if kind:
                flood = subprocess.Popen(
                    ["taskset", "-c", server.load_core, "nice", "-n", "19",
                     str(pathlib.Path(bin_dir) / "bench_flood"), "--port", str(server.port),
                     "--kind", kind, "--connections", str(connections), "--seconds",
                     str(seconds + 3), "--channel", "flood", "--announce"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                line = flood.stderr.readline()
                if line.strip() != "measuring":
                    raise RuntimeError(f"bench_flood: {line}{flood.stderr.read()}".strip())
            arguments = [*server.load_args("bench", "quiet"), "--publish", "stream",
                         "--connections", 20, "--channels-total", 20, "--channels-each", 1,
                         "--rate", 400, "--seconds", seconds, "--warmup", 0.3]
            for pid in server.pids():
                arguments += ["--pid", pid]
            result = run_program(bin_dir, server.load_core, "bench_load", arguments)
            if flood:
                out, errors = flood.communicate(timeout=60)
                if flood.returncode != 0:
                    raise RuntimeError(f"bench_flood: {errors.strip()}")
                result["flood"] = json.loads(out)
            return result
        finally:
            if flood and flood.poll() is None:
                flood.kill()
                flood.wait()


def micro(bin_dir, seconds):
    """bench_micro's own JSON: its context, and its benchmarks."""
    return run_program(bin_dir, servers.SERVER_CORE, "bench_micro",
                       ["--benchmark_format=json", f"--benchmark_min_time={seconds}"], timeout=300)
