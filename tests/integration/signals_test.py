"""Signals: how a start, an orderly stop and an impatient operator end, and with which exit code."""
import os
import signal
import socket
import subprocess
import tempfile
import unittest
from unittest import mock

from harness import Server, main, preload, service, small_config
from harness.server import BIN, PATIENCE

# Long enough that only a second signal can end a drain within a test.
SLOW_DRAIN = {"drain_window": "300s", "drain_deadline": "300s"}

# A library's constructor runs before main().
HANGUP_WHILE_LOADING = """
#include <signal.h>
#include <unistd.h>
__attribute__((constructor)) static void hang_up(void) { kill(getpid(), SIGHUP); }
"""


class Signals(unittest.TestCase):
    def start(self, **config):
        server = Server(small_config(service(), **config))
        self.addCleanup(self._end, server)
        server.start()
        return server

    @staticmethod
    def _end(server):
        """Ends what the test left, and asserts nothing."""
        for pid in server.processes():
            os.kill(pid, signal.SIGKILL)
        server.process.wait(PATIENCE)
        server._channel.close()
        server._left_behind()

    def hold_a_drain_up(self, server):
        """Opens a WebSocket that never answers a close frame."""
        client = socket.create_connection(("127.0.0.1", server.port()))
        self.addCleanup(client.close)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                       b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        self.assertIn(b" 101 ", client.recv(4096))
        return client

    def wait_for_drain(self, server):
        server.wait(lambda: "drain.start" in server.log() or "control.stopping" in server.log(),
                    "the stop to begin")

    def test_an_orderly_stop_ends_with_0_in_control_and_workers(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number.name):
                server = self.start()
                server.process.send_signal(number)
                self.assertEqual(server.process.wait(PATIENCE), 0, server.log())
                self.assertRegex(server.log(), r"worker\.exited .*code=0 ")

    def test_a_second_signal_ends_control_at_once(self):
        # A program that ends at once does not wait for its threads; ThreadSanitizer would mind.
        options = os.environ.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"
        self.enterContext(mock.patch.dict(os.environ, TSAN_OPTIONS=options))
        for first, second, code in ((signal.SIGTERM, signal.SIGTERM, 143),
                                    (signal.SIGINT, signal.SIGINT, 130),
                                    (signal.SIGTERM, signal.SIGINT, 130)):
            with self.subTest(first=first.name, second=second.name):
                server = self.start(worker={**SLOW_DRAIN, "ops_listen": "127.0.0.1:0"},
                                    limits={"close_timeout": "300s"},
                                    control={"shutdown_timeout": "300s"})
                self.hold_a_drain_up(server)
                server.process.send_signal(first)
                self.wait_for_drain(server)
                server.process.send_signal(second)
                self.assertEqual(server.process.wait(PATIENCE), code, server.log())

    def test_a_second_signal_ends_a_worker_at_once(self):
        server = self.start(worker={**SLOW_DRAIN, "ops_listen": "127.0.0.1:0"},
                            limits={"close_timeout": "300s"})
        self.hold_a_drain_up(server)
        pid = server.workers()[0].pid
        os.kill(pid, signal.SIGTERM)
        server.wait(lambda: server.workers()[0].pid == pid and not server.ready_workers(),
                    "the drain to begin")
        os.kill(pid, signal.SIGTERM)
        server.wait(lambda: f"pid={pid} code=143" in server.log(), "the worker's end")

    def test_a_reload_while_the_programs_are_loaded_waits(self):
        with tempfile.TemporaryDirectory(prefix="fanwire-", dir="/tmp") as directory:
            environment = {**os.environ, **preload.build(HANGUP_WHILE_LOADING, directory)}
            for program in ("fanwire-control", "fanwire-fanout"):
                with self.subTest(program=program):
                    done = subprocess.run([str(BIN / program), "--version"], env=environment,
                                          capture_output=True, text=True, timeout=PATIENCE)
                    self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    main()
