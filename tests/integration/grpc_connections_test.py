"""The gRPC port: how many connections it holds, that it recovers, and who may ping."""
import contextlib
import re
import resource
import shutil
import socket
import struct
import tempfile
import unittest
import urllib.request

import grpc
from fanwire.v1 import admin_pb2, admin_pb2_grpc
from harness import Server, main, service, small_config
from harness.clocks import Clocks
from harness.server import PATIENCE

PING, GOAWAY, SETTINGS = 6, 7, 4
ACK = 1


def metric(server, name):
    """Returns the sum of a metric's samples."""
    url = f"http://{server.config['control']['ops_listen']}/metrics"
    text = urllib.request.urlopen(url, timeout=PATIENCE).read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


class Http2:
    """A connection that speaks just enough HTTP/2 to ping."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self._input = self.socket.makefile("rb")
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._frame(SETTINGS))

    @staticmethod
    def _frame(kind, flags=0, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags, 0, 0, 0, 0]) + payload

    def ping(self):
        """Sends a ping and returns the type of the frame that answers it: PING or GOAWAY."""
        self.socket.sendall(self._frame(PING, payload=b"12345678"))
        while True:
            head = self._input.read(9)
            if len(head) < 9:
                return None
            self._input.read(int.from_bytes(head[:3], "big"))
            if head[3] == GOAWAY or (head[3] == PING and head[4] & ACK):
                return head[3]
            if head[3] == SETTINGS and not head[4] & ACK:
                self.socket.sendall(self._frame(SETTINGS, ACK))

    def close(self):
        self._input.close()
        self.socket.close()


class GrpcConnections(unittest.TestCase):
    def start(self, environment=None, **config):
        server = Server(small_config(service(), **config), environment=environment)
        self.addCleanup(server.stop)
        return server.start()

    def publisher_comes_in(self, server):
        with grpc.insecure_channel(server.tcp_address) as channel:
            admin_pb2_grpc.AdminStub(channel).GetVersion(
                admin_pb2.GetVersionRequest(), timeout=PATIENCE, wait_for_ready=True)

    def test_idle_connections_beyond_the_limit_are_closed_and_the_port_recovers(self):
        server = self.start(control={"grpc_max_connections": 20})
        host, port = server.tcp_address.rsplit(":", 1)
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(socket.create_connection((host, int(port)), PATIENCE))
                    for _ in range(30)]
            for late in idle[20:]:
                self.assertEqual(late.recv(1), b"")
            self.assertEqual(metric(server, "fanwire_control_grpc_connections"), 20)
            self.assertGreaterEqual(
                metric(server, "fanwire_control_grpc_connections_refused_total"), 10)
            server.wsctl("version")  # by the unix socket
        self.publisher_comes_in(server)

    def test_the_limit_of_open_files_is_raised(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            server = self.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE),
                         (hard, hard))

    def test_out_of_descriptors_and_back_it_serves_again(self):
        server = self.start(control={"grpc_max_connections": 10000})
        host, port = server.tcp_address.rsplit(":", 1)
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (128, limits[1]))
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(socket.create_connection((host, int(port)), PATIENCE))
            server.wait(
                lambda: "grpc.out_of_descriptors" in server.log(), "descriptors to run out")
        self.publisher_comes_in(server)
        server.wsctl("version")
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)

    def test_a_ping_each_ten_seconds_is_welcome_without_calls(self):
        directory = tempfile.mkdtemp(prefix="fanwire-", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory)
        clocks = Clocks(directory)
        server = self.start(clocks.environment, workers=0)
        connection = Http2(server.tcp_address)
        self.addCleanup(connection.close)
        for _ in range(5):
            self.assertEqual(connection.ping(), PING)
            # gRPC reads the clock once for all that it does in one go: give it something else.
            server.workers()
            clocks.pass_time(10)

    def test_a_flood_of_pings_still_ends_the_connection(self):
        server = self.start()
        connection = Http2(server.tcp_address)
        self.addCleanup(connection.close)
        self.assertTrue(any(connection.ping() == GOAWAY for _ in range(10)))


if __name__ == "__main__":
    main()
