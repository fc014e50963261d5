"""A Redis server of the test's own, on a loopback port."""
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from .ports import free_port
from .server import PATIENCE

# Debian's redis-tools has the server's binary under this name; the package redis-server would start
# one on the machine.
PROGRAM = "/usr/bin/redis-check-rdb"


class RedisServer:
    """Runs from start() to stop().  Keeps nothing on the disk unless `arguments` say so."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-redis-", dir="/tmp"))
        self.port = free_port()
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", str(self.directory), "--logfile", str(self.directory / "log"),
             *self.arguments], executable=PROGRAM)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return self
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise AssertionError("the Redis server does not answer")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
