"""The servers that the benchmark compares, each started fresh for a measurement.

A server is pinned to one core, the load generator to another, so that "per core" means something
on a small machine.  `pids` are the processes whose CPU and memory count as the server's; for
Fanwire that is the worker alone, whose control shares the load generator's core.  Where publishing
is measured it is the other way round, and where several workers are, nothing is pinned.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
SERVER_CORE, LOAD_CORE = "0", "1"
PYTHON = "/usr/bin/python3"


# Below those that the kernel gives to clients, of which a run has thousands, and none twice.
_ports = iter(range(random.randrange(12000, 22000), 32000))


def free_port():
    for port in _ports:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise RuntimeError("no free port below 32000")


def wait_for_port(port, process, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{process.args} does not listen on {port}")


class Server:
    """One server process; a context manager."""
    name = ""
    publish = "ws"
    core = SERVER_CORE
    load_core = LOAD_CORE

    def __init__(self, bin_dir):
        self.bin = pathlib.Path(bin_dir)
        self.port = free_port()
        self.process = None
        self.dir = None

    def command(self):
        raise NotImplementedError

    @staticmethod
    def available():
        return True

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="fanwire-bench-")
        self.process = subprocess.Popen(
            ["taskset", "-c", self.core, *self.command()], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=self.environment(), start_new_session=True)
        wait_for_port(self.port, self.process)
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def environment(self):
        return os.environ

    def pids(self):
        return [self.process.pid]

    def load_args(self):
        """What bench_load needs to connect, subscribe and publish here."""
        return ["--port", str(self.port), "--publish-port", str(self.port)]


class FloorSend(Server):
    name = "floor, send"
    mode = "send"

    def command(self):
        return [self.bin / "bench_floor", str(self.port), self.mode]


class FloorJoined(FloorSend):
    name = "floor, joined"
    mode = "joined"


class FloorSendAlike(FloorSend):
    """The floor with as many bytes on the wire, and the same socket options, as Fanwire.

    Fanwire's protocol wraps each publication's data in an event envelope.
    """
    name = "floor, send, same wire"
    ENVELOPE, SEND_BUFFER, NOTSENT_LOWAT = 254, 64 * 1024, 16 * 1024

    def command(self):
        return [*super().command(), str(self.ENVELOPE), str(self.SEND_BUFFER),
                str(self.NOTSENT_LOWAT)]

    def load_args(self):
        # A client that has sent something acknowledges otherwise: not each read, but every second
        # segment, and that on the server's core.
        return super().load_args() + ["--subscribe", "subscribe"]


class FloorJoinedAlike(FloorSendAlike):
    name = "floor, joined, same wire"
    mode = "joined"


class Python(Server):
    name = "Python websockets"

    def command(self):
        return [PYTHON, PEERS / "python_server.py", str(self.port)]


class Node(Server):
    name = "Node ws"

    def command(self):
        return ["node", PEERS / "node_server.js", str(self.port)]

    def environment(self):
        modules = ROOT / "tests/integration/node/node_modules"
        return {**os.environ, "NODE_PATH": str(modules)}

    @staticmethod
    def available():
        return shutil.which("node") and (ROOT / "tests/integration/node/node_modules/ws").exists()


class StockWebsocketpp(Server):
    name = "websocketpp, stock"

    def command(self):
        return [self.bin / "peer_websocketpp", str(self.port)]


class Nchan(Server):
    name = "nchan"
    publish = "http"
    MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"

    @staticmethod
    def available():
        return shutil.which("nginx") and os.path.exists(Nchan.MODULE)

    def command(self):
        config = os.path.join(self.dir, "nginx.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"""load_module {self.MODULE};
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000;
pid {self.dir}/pid; error_log {self.dir}/error.log crit;
events {{ worker_connections 19000; }}
http {{
  access_log off; client_body_temp_path {self.dir}/b; proxy_temp_path {self.dir}/p;
  fastcgi_temp_path {self.dir}/f; uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;
  client_body_buffer_size 64k; keepalive_requests 100000000;
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location = /sub {{ nchan_subscriber websocket; nchan_channel_id bench;
                       nchan_subscriber_first_message newest; }}
    location = /pub {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 64;
                       nchan_message_timeout 5s; }}
  }}
}}
""")
        return ["nginx", "-p", self.dir, "-c", config]

    def load_args(self):
        return super().load_args() + ["--path", "/sub", "--publish-path", "/pub"]


class Nats(Server):
    name = "nats-server"
    publish = "nats"

    def __init__(self, bin_dir):
        super().__init__(bin_dir)
        self.nats_port = free_port()

    @staticmethod
    def available():
        return shutil.which("nats-server")

    def command(self):
        config = os.path.join(self.dir, "nats.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"""host: 127.0.0.1
port: {self.nats_port}
websocket {{ host: 127.0.0.1, port: {self.port}, no_tls: true, compression: false }}
max_connections: 20000
""")
        return ["nats-server", "-c", config]

    def load_args(self):
        subscribe = 'CONNECT {"verbose":false,"pedantic":false}\r\nSUB bench 1\r\nPING\r\n'
        return ["--port", str(self.port), "--publish-port", str(self.nats_port),
                "--subscribe", subscribe, "--frames-before-ready", "2", "--many-per-frame",
                "--channel", "bench"]


class Fanwire(Server):
    """Control, and one worker or more, as they ship."""
    name = "Fanwire"
    publish = "stream"
    workers = 1
    channel = "bench"
    rule = ""  # for the channels of its services, beside the defaults
    rates = "message_rate_limit: 0"  # of each client
    control_core = LOAD_CORE
    worker_core = SERVER_CORE

    def __init__(self, bin_dir):
        super().__init__(bin_dir)
        self.other_port = free_port()
        self.ops = free_port()
        self.worker_ops = free_port()

    def command(self):
        config = os.path.join(self.dir, "fanwire.yaml")
        self.socket = os.path.join(self.dir, "control.sock")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"""control:
  grpc_listen: 127.0.0.1:0
  socket: {self.socket}
  ops_listen: 127.0.0.1:{self.ops}
workers: "{self.workers}"
worker:
  ops_listen: 127.0.0.1:{self.worker_ops}
  accept_rate: 1000000
limits:
  max_connections: 1000000
  max_channels: 2000000
  {self.rates}
  max_channels_per_session: 100000
log: {{level: warning}}
channels: [{self.rule}]
engine: {{max_history_bytes: 4GiB}}
default_service: bench
services:
  - name: bench
    port: {self.port}
  - name: other
    port: {self.other_port}
""")
        return [self.bin / "fanwire-control", "--config", config]

    def environment(self):
        return {**os.environ, "RUNTIME_DIRECTORY": self.dir}

    def __enter__(self):
        super().__enter__()
        deadline = time.monotonic() + 10
        while len(self.worker_list()) < self.workers:
            if time.monotonic() > deadline:
                raise RuntimeError("Fanwire's workers are not ready")
            time.sleep(0.05)
        # Workers have inherited control's core.
        self.pin(self.process.pid, self.control_core)
        for pid in self.pids():
            self.pin(pid, self.worker_core)
        return self

    @staticmethod
    def pin(pid, core):
        subprocess.run(["taskset", "-a", "-c", "-p", core, str(pid)], check=True,
                       stdout=subprocess.DEVNULL)

    def __exit__(self, *details):
        super().__exit__(*details)
        # Workers outlive control on purpose.  Asked for by their command line: control may be too
        # busy to list them, and one left behind would take its share of all that follows.
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if f"unix:{self.socket}".encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass

    def worker_list(self):
        out = subprocess.run(
            [self.bin / "wsctl", "--server", f"unix:{self.socket}", "--output", "json",
             "workers", "list"], capture_output=True, text=True)
        if out.returncode != 0:
            return []
        return [w for w in json.loads(out.stdout) if w["state"] == "ready"]

    def pids(self):
        return [w["pid"] for w in self.worker_list()]

    def metrics(self):
        url = f"http://127.0.0.1:{self.worker_ops}/metrics"
        return urllib.request.urlopen(url, timeout=5).read().decode()

    def control_pid(self):
        return self.process.pid

    def load_args(self, service="bench", channel=None):
        channel = channel or self.channel
        subscribe = json.dumps({"type": "request", "id": "s", "event": "subscribe",
                                "data": {"channel": channel}})
        port = self.port if service == "bench" else self.other_port
        return ["--port", str(port), "--server", f"unix:{self.socket}", "--service", service,
                "--channel", channel, "--subscribe", subscribe, "--frames-before-ready", "2",
                "--control-pid", str(self.control_pid())]


class FanwireDropOldest(Fanwire):
    rule = '{pattern: "**", backlog_policy: drop_oldest}'


class FanwireControl(Fanwire):
    """Control has a core of its own; the worker shares the generator's."""
    control_core = SERVER_CORE
    worker_core = LOAD_CORE


class FanwireFree(Fanwire):
    """Nothing is pinned."""
    name = "1 worker"
    core = load_core = control_core = worker_core = f"0-{os.cpu_count() - 1}"


class FanwireLimited(Fanwire):
    """With the limits for each client that ship."""
    rates = ""


class FanwireTwo(FanwireFree):
    name = "2 workers"
    workers = 2
