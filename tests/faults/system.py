"""The system under test: control, its workers, and a fault proxy on each kind of link."""
import asyncio
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import Server, service, small_config
from harness.clocks import Clocks
from harness.redis import RedisServer
from harness.server import BIN

from fault_proxy import FaultProxy

SERVICE = "mahavishnu"
WORKERS = 2
# Control wants 128 MiB of free space before it goes on after a full disk.
DISK_BYTES = 320 << 20


class Engine:
    """An engine and what it needs outside of control; the base is the memory engine.

    config          the section `engine` of the configuration
    disk            the folder of a small disk that may be filled; None: there is none
    note            why there is none
    redis           the Redis server; None: there is none
    start(), stop() a server process of the engine's own would begin and end here
    """

    config = {"kind": "memory"}
    disk = None
    note = ""
    redis = None

    def start(self):
        pass

    def stop(self):
        pass


class RocksDb(Engine):
    """RocksDB in a tmpfs of its own, if this user may mount one, else in a plain folder."""

    def __init__(self, sync):
        self._sync = sync
        self._folder = None
        self._mounted = False

    def start(self):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-faults-disk-", dir="/tmp"))
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "fanwire-faults", self._folder],
            capture_output=True, text=True, check=False)
        self._mounted = mounted.returncode == 0
        if self._mounted:
            self.disk = self._folder
        else:
            self.note = f"no full disk: {mounted.stderr.strip()}"
        self.config = {"kind": "rocksdb", "path": str(self._folder / "data"), "sync": self._sync,
                       "cache_bytes": 20000}

    def stop(self):
        if self._folder is None:
            return
        if self._mounted:
            subprocess.run(["umount", self._folder], check=True)
        shutil.rmtree(self._folder)
        self._folder = None


class Redis(Engine):
    """A Redis server of its own that loses nothing when it is killed."""

    def start(self):
        self.redis = RedisServer("--appendonly", "yes", "--appendfsync", "always",
                                 "--maxmemory-policy", "noeviction").start()
        self.config = {"kind": "redis", "cache_bytes": 20000,
                       "redis": {"server": self.redis.address, "durable": True}}

    def stop(self):
        if self.redis is not None:
            self.redis.stop()
        self.redis = None


ENGINES = {"memory": Engine, "rocksdb": lambda: RocksDb(False),
           "rocksdb-sync": lambda: RocksDb(True), "redis": Redis}


class LinkedServer(Server):
    """A Server whose workers reach control through a proxy's socket."""

    def start(self, wait=True):
        program = self.directory / "worker"
        program.write_text('#!/bin/bash\n# control gives: --control ADDRESS OTHERS\n'
                           f'exec {BIN}/fanwire-fanout --control unix:{self.link} "${{@:3}}"\n')
        program.chmod(0o755)
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "fanwire-control", "--config", self.config_file,
                 "--worker-program", program],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    @property
    def link(self):
        return self.directory / "link.sock"


class System:
    """Threading: the runner's event loop; what blocks runs on other threads."""

    def __init__(self, engine, journal):
        self.engine = ENGINES[engine]()
        self.server = None
        self.clocks = None
        self.proxies = {}
        self._journal = journal
        self._clocks_folder = None
        self._seen = set()
        self._blocking = set()

    async def start(self):
        self.engine.start()
        self._clocks_folder = tempfile.mkdtemp(prefix="fanwire-faults-", dir="/tmp")
        self.clocks = await self.in_thread(Clocks, self._clocks_folder)
        config = small_config(
            service(session_backlog_bytes=131072), workers=WORKERS,
            channels=[{"pattern": "**", "history_size": 200_000, "history_ttl": "24h"}],
            control={"adopt_window": "3s", "frozen_kill_after": "3s"},
            limits={"control_wait": "20s", "ping_interval": "2s", "pong_timeout": "3s"},
            worker={"send_buffer_bytes": 16384, "notsent_lowat_bytes": 8192,
                    "drain_window": "200ms", "reconnect_after_min": "10ms",
                    "reconnect_after_max": "100ms", "orphan_timeout": "1m"},
            engine=self.engine.config)
        self.server = LinkedServer(config, self.clocks.environment)
        self.proxies = {
            "clients": FaultProxy(self.server.port()),
            "publishers": FaultProxy(int(self.server.tcp_address.rpartition(":")[2])),
            "workers": FaultProxy(path=str(self.server.link),
                                  target_path=config["control"]["socket"])}
        for proxy in self.proxies.values():
            await proxy.start()
        await self.start_control()

    async def stop(self):
        """Leaves nothing behind, whatever state the system is in.  Returns the problems."""
        problems = []
        for proxy in self.proxies.values():
            proxy.heal()
        if self.server is not None:
            self.resume_all()
        # A thread goes on when the fault that waits for it is cancelled; it may start control.
        await asyncio.gather(*self._blocking, return_exceptions=True)
        if self.server is not None:
            try:
                await asyncio.to_thread(self.server.stop)
            except AssertionError as error:
                problems.append(str(error))
            shutil.rmtree(self.server.directory, ignore_errors=True)
        for proxy in self.proxies.values():
            await proxy.close()
        if self._clocks_folder is not None:
            shutil.rmtree(self._clocks_folder, ignore_errors=True)
        try:
            self.engine.stop()
        except (OSError, subprocess.CalledProcessError) as error:
            problems.append(f"the engine left something behind: {error}")
        return problems

    def address(self):
        """Of control, through the publishers' proxy."""
        return f"127.0.0.1:{self.proxies['publishers'].port}"

    def url(self):
        """For clients, through their proxy."""
        return f"ws://127.0.0.1:{self.proxies['clients'].port}"

    async def start_control(self):
        self._journal.write("control")
        await self.in_thread(self.server.start)
        self.note_processes()

    async def ready(self):
        await self.in_thread(self.server.wait_ready)
        self.note_processes()

    async def in_thread(self, function, *arguments):
        """Calls a function that blocks; stop() waits for it."""
        task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
        self._blocking.add(task)
        task.add_done_callback(self._blocking.discard)
        return await asyncio.shield(task)

    def workers(self):
        """The ids of the workers' processes; control itself may be stopped."""
        control = self.server.process.pid
        return sorted(pid for pid in self.server.processes() if pid != control)

    def resume_all(self):
        for pid in self.server.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)

    def note_processes(self, when="start"):
        """Journals memory and descriptors: at the start of each process that was not seen yet, and
        at the end of all."""
        for pid in self.server.processes():
            if when == "start" and pid in self._seen:
                continue
            self._seen.add(pid)
            with contextlib.suppress(OSError, StopIteration):
                status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                rss = next(line for line in status if line.startswith("VmRSS")).split()[1]
                self._journal.write(
                    "resources", process=pathlib.Path(f"/proc/{pid}/comm").read_text().strip(),
                    pid=pid, when=when, rss_kb=int(rss),
                    descriptors=len(os.listdir(f"/proc/{pid}/fd")))
