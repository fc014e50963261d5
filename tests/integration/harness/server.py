"""Runs fanwire-control and its workers for a test."""
import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

import grpc
import yaml
from fanwire.v1 import admin_pb2, admin_pb2_grpc

BIN = pathlib.Path(os.environ["FANWIRE_BIN"])
# The timeout only catches hangs.  It is long because sanitizers slow everything down.
PATIENCE = float(os.environ.get("FANWIRE_TEST_PATIENCE", "20"))


class Server:
    """Runs control and its workers from start() to stop().

    stop() fails if a process ended with an error, a sanitizer reported an error, or a process is
    still running.
    """

    def __init__(self, config, environment=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-", dir="/tmp"))
        self.config = config
        config["control"]["socket"] = str(self.directory / "control.sock")
        self.config_file = self.directory / "fanwire.yaml"
        self.write_config()
        self._id = str(uuid.uuid4())
        self.environment = {
            **os.environ, **(environment or {}),
            "FANWIRE_TEST_ID": self._id,
            "RUNTIME_DIRECTORY": str(self.directory),
            "XDG_RUNTIME_DIR": str(self.directory),
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            options = self.environment.get(name, "")
            self.environment[name] = f"{options}:log_path={self.directory}/sanitizer".lstrip(":")
        self.process = None
        # Control may not listen yet, or may have been killed: reconnect quickly.
        self._channel = grpc.insecure_channel(self.address, options=[
            ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 1000),
            ("grpc.max_reconnect_backoff_ms", 50)])
        self.admin = admin_pb2_grpc.AdminStub(self._channel)

    # ------------------------------------------------------------------------- addresses

    @property
    def address(self):
        """The gRPC address, for clients."""
        return f"unix:{self.config['control']['socket']}"

    @property
    def tcp_address(self):
        return self.config["control"]["grpc_listen"]

    def port(self, service="mahavishnu", listener=0):
        for entry in self.config["services"]:
            if entry["name"] == service:
                return entry["listeners"][listener]["port"]
        raise KeyError(service)

    def url(self, service="mahavishnu", listener=0, path=""):
        return f"ws://127.0.0.1:{self.port(service, listener)}{path}"

    # ------------------------------------------------------------------------- start and stop

    def write_config(self):
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def start(self, wait=True):
        log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(
            [str(BIN / "fanwire-control"), "--config", str(self.config_file)],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
        log.close()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, workers=None):
        """Waits until all workers are attached and listen."""
        workers = int(self.config["workers"]) if workers is None else workers
        self.wait(lambda: len(self.ready_workers()) == workers, f"{workers} workers ready")

    def wait(self, condition, what):
        """Waits until the condition is true.  Ignores RpcErrors of the condition."""
        deadline = time.monotonic() + PATIENCE
        error = None
        while time.monotonic() < deadline:
            with contextlib.suppress(grpc.RpcError):
                result = condition()
                if result:
                    return result
            if self.process.poll() is not None:
                error = f"control ended with {self.process.returncode}"
                break
            time.sleep(0.02)
        raise AssertionError(f"{error or 'timed out'}, waiting for: {what}\n{self.log()}")

    def workers(self):
        return list(self.admin.ListWorkers(admin_pb2.ListWorkersRequest(), timeout=5,
                                           wait_for_ready=True).workers)

    def ready_workers(self):
        ready = admin_pb2.WORKER_STATE_READY
        return [worker for worker in self.workers() if worker.state == ready and worker.listeners]

    def kill(self, pid=None):
        """Kills a process with SIGKILL, by default control."""
        os.kill(pid or self.process.pid, signal.SIGKILL)
        if pid is None:
            self.process.wait()

    def terminate(self):
        """Sends SIGTERM to control and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE * 2)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"control did not stop\n{self.log()}") from None

    def stop(self):
        problems = []
        try:
            if self.process is not None:
                code = self.terminate()
                if code != 0:
                    problems.append(f"control ended with {code}")
        except AssertionError as error:
            problems.append(str(error))
        self._channel.close()
        problems += self._left_behind()
        problems += [pathlib.Path(name).read_text(errors="replace")
                     for name in glob.glob(f"{self.directory}/sanitizer*")]
        log = self.log()
        shutil.rmtree(self.directory, ignore_errors=True)
        if problems:
            raise AssertionError("\n".join(problems) + "\n" + log)

    def processes(self):
        """Returns the ids of the running processes that this server started."""
        mark = f"FANWIRE_TEST_ID={self._id}".encode()
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if mark in pathlib.Path(f"/proc/{name}/environ").read_bytes():
                    found.append(int(name))
        return found

    def _left_behind(self):
        deadline = time.monotonic() + PATIENCE
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        left = self.processes()
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return [f"processes {left} outlived control"] if left else []

    def log(self):
        """Returns the last log lines of all processes."""
        try:
            text = (self.directory / "log").read_text(errors="replace")
        except OSError:
            return ""
        return "--- log\n" + "\n".join(text.splitlines()[-60:])

    # ------------------------------------------------------------------------- wsctl

    def wsctl(self, *arguments, stdin=None, check=True):
        """Runs wsctl against this server; returns the CompletedProcess with its output as text."""
        done = subprocess.run(self.wsctl_command(*arguments), input=stdin, text=True,
                              capture_output=True, env=self.environment, timeout=PATIENCE * 3)
        if check and done.returncode != 0:
            raise AssertionError(f"wsctl {' '.join(arguments)} ended with {done.returncode}: "
                                 f"{done.stderr}{self.log()}")
        return done

    def wsctl_command(self, *arguments):
        return [str(BIN / "wsctl"), "--server", self.address, *arguments]

    def wsctl_json(self, *arguments, stdin=None):
        """Returns the parsed output of wsctl with --output json."""
        return json.loads(self.wsctl("--output", "json", *arguments, stdin=stdin).stdout)
