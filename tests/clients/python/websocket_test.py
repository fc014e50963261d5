"""The two forms of the package `websockets`, and what there is without it or without grpc."""
import os
import subprocess
import sys
import unittest
from unittest import mock

import websockets

import fake_worker  # noqa: F401  (no log lines on stderr)
from fanwire import websocket
from fanwire.catalog.mahavishnu import WorkflowStarted
from fanwire.publication import Publication

OPTIONS = {"headers": {"Authorization": "Bearer t"}, "ssl": None, "timeout": 5.0,
           "ping_interval": 20.0}


class Newer:
    """`websockets.connect` as of version 14, as far as it is used."""

    calls = []

    def __init__(self, uri, *, additional_headers=None, compression="deflate", open_timeout=10,
                 ping_interval=20, ping_timeout=20, close_timeout=10, max_size=2**20,
                 max_queue=16, ssl=None):
        self.calls.append((uri, additional_headers, open_timeout, ping_interval, ping_timeout,
                           compression))

    def __await__(self):
        async def connect():
            return "the connection"
        return connect().__await__()


class Websockets(unittest.IsolatedAsyncioTestCase):
    async def serve(self, handler):
        server = await websockets.serve(handler, "127.0.0.1", 0)
        self.addAsyncCleanup(server.wait_closed)
        self.addCleanup(server.close)
        return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def test_the_installed_version(self):
        async def handler(connection):
            headers = getattr(connection, "request_headers", None) or connection.request.headers
            await connection.send(headers["Authorization"])
            await connection.send(await connection.recv())
            await connection.close(4000, "slow subscriber")
        socket = await websocket.open_socket(await self.serve(handler), **OPTIONS)
        self.assertEqual(await socket.recv(), "Bearer t")
        await socket.send("ä")
        self.assertEqual(await socket.recv(), "ä")
        with self.assertRaises(websocket.Closed) as caught:
            await socket.recv()
        self.assertEqual((caught.exception.code, caught.exception.reason, str(caught.exception)),
                         (4000, "slow subscriber", "closed with 4000: slow subscriber"))
        with self.assertRaises(websocket.Closed):
            await socket.send("too late")
        await socket.close()

    async def test_a_connection_that_is_cut(self):
        async def handler(connection):
            connection.transport.abort()
        socket = await websocket.open_socket(await self.serve(handler), **OPTIONS)
        with self.assertRaises(websocket.Closed) as caught:
            await socket.recv()
        self.assertEqual(caught.exception.code, 1006)
        await socket.close()

    async def test_nobody_listens(self):
        with self.assertRaises(websocket.OPEN_ERRORS):
            await websocket.open_socket("ws://127.0.0.1:1", **OPTIONS)

    async def test_the_newer_argument_for_headers(self):
        with mock.patch.object(websockets, "connect", Newer):
            socket = await websocket.open_socket("ws://a", **OPTIONS)
        self.assertEqual(socket._connection, "the connection")
        self.assertEqual(Newer.calls, [
            ("ws://a", {"Authorization": "Bearer t"}, 5.0, 20.0, 20.0, None)])


class Packages(unittest.TestCase):
    def run_without(self, missing, module):
        return subprocess.run(
            [sys.executable, "-c", f"import sys; sys.modules[{missing!r}] = None; import {module}"],
            capture_output=True, text=True, env=os.environ)

    def test_without_websockets(self):
        done = self.run_without("websockets", "fanwire.subscriber")
        self.assertIn('ImportError: fanwire.subscriber needs the package websockets, version 10.4 '
                      'or newer: pip install "fanwire[subscriber]", or on Debian: apt install '
                      'python3-websockets', done.stderr)
        self.assertEqual(self.run_without("websockets", "fanwire.publisher").returncode, 0)

    def test_without_grpc_and_protobuf(self):
        for missing in ("grpc", "google.protobuf"):
            done = self.run_without(missing, "fanwire.subscriber")
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class Messages(unittest.TestCase):
    def publication(self, event, **data):
        return Publication({"event": event, "room": "workflow:wf", "data": data})

    def test_a_publication_as_a_message_of_the_catalog(self):
        publication = self.publication("workflow.started", workflow_id="wf", prompt=None,
                                       total_stages=3, timestamp="t", owner="ana")
        message = publication.message()
        self.assertIsInstance(message, WorkflowStarted.message_class)
        self.assertEqual((message.workflow_id, message.HasField("prompt"), message.total_stages,
                          dict(message.metadata)), ("wf", False, 3, {"owner": "ana"}))
        self.assertEqual(message, publication.message("mahavishnu"))

    def test_of_two_shapes_the_one_that_fits(self):
        for data, name in (({"adapter": "a", "is_healthy": True}, "AdapterHealthCheckChanged"),
                           ({"adapter_id": "a", "old_status": "up"}, "AdapterHealthChanged")):
            message = self.publication("adapter.health_changed", **data).message("mahavishnu")
            self.assertEqual(message.DESCRIPTOR.name, name)

    def test_what_is_no_message(self):
        with self.assertRaisesRegex(ValueError, "no.such: the catalog has no such event$"):
            self.publication("no.such").message()
        with self.assertRaisesRegex(ValueError, "no such event of akosha"):
            self.publication("workflow.started").message("akosha")
        with self.assertRaisesRegex(ValueError, "WorkflowStarted: .*workflow_id"):
            self.publication("workflow.started", workflow_id=5).message()

    def test_an_event_type_parses_as_well(self):
        self.assertEqual(WorkflowStarted.parse({"workflow_id": "wf"}).workflow_id, "wf")


if __name__ == "__main__":
    unittest.main(verbosity=2)
