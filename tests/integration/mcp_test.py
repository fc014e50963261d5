"""`wsctl mcp` over stdio against the real processes, line by line."""
import fcntl
import json
import signal
import subprocess
import termios
import time

from harness import Case, main, service, small_config
from harness.mcp import Mcp
from harness.server import PATIENCE

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}}
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
BEGIN = (b'{"jsonrpc":"2.0","id":1,"method":"initialize",'
         b'"params":{"protocolVersion":"2025-11-25"}}\n')
LIST = b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}\n'


class McpServer(Case):
    @classmethod
    def config(cls):
        return small_config(service(), service("akosha"), workers=2)

    def mcp(self, *options, begin=True, **arguments):
        client = Mcp(self.server, *options, **arguments)
        self.addCleanup(client.kill)
        if begin:
            client.initialize()
        return client

    def end(self, client):
        self.assertEqual(client.close(), (0, ""))

    # ------------------------------------------------------------------------- tools

    async def test_the_five_tools_answer_as_wsctl_does(self):
        subscriber = await self.connect()
        await subscriber.subscribe("workflow:mcp")
        client = self.mcp()
        for tool in ("websocket_health_check", "websocket_get_status", "websocket_list_rooms"):
            self.assertEqual(client.object(tool), self.server.wsctl_json(tool))
            self.assertEqual(client.object(tool, service="akosha"),
                             self.server.wsctl_json(tool, "--service", "akosha"))
        metrics = client.object("websocket_get_metrics")
        self.assertEqual(list(metrics), ["uptime_seconds", "total_broadcasts",
                                         "average_message_rate", "peak_connections",
                                         "current_connections"])
        answer = client.object("websocket_broadcast_test_event", event_type="workflow.started",
                               room="workflow:mcp", data={"workflow_id": "mcp"})
        self.assertEqual(answer, {
            "status": "broadcasted", "event_type": "workflow.started", "room": "workflow:mcp",
            "subscribers": 1, "message": "Test event broadcast successfully"})
        frame = await subscriber.event("workflow.started")
        self.assertEqual((frame["data"]["workflow_id"], frame["data"]["test"]), ("mcp", True))
        self.end(client)

    async def test_digits_and_order_survive_both_ways(self):
        client = self.mcp("--allow-write")
        data = '{"zebra":18446744073709551616,"ant":0.10}'
        client.send_line('{"jsonrpc":"2.0","id":1000,"method":"tools/call","params":{"name":'
                         '"publish_event","arguments":{"service":"mahavishnu","channel":"mcp:digits"'
                         ',"event":"e","data":' + data + '}}}')
        self.assertFalse(client.answer(1000)["result"]["isError"])
        client.start_call("get_history", service="mahavishnu", channel="mcp:digits")
        line = client._lines.get(timeout=20).decode()
        self.assertIn(f'"data":{data}', line)
        self.assertIn(json.dumps(f'"data":{data}')[1:-1], line)
        self.end(client)

    async def test_history_goes_on_where_it_ended(self):
        self.publisher.publish_many("mcp:pages", 25)
        client = self.mcp()
        arguments, offsets = {}, []
        while True:
            page = client.object("get_history", service="mahavishnu", channel="mcp:pages",
                                 limit=10, **arguments)
            offsets = [entry["position"]["offset"] for entry in page["publications"]] + offsets
            if not page["more"]:
                self.assertIsNone(page["continue_with"])
                break
            arguments = page["continue_with"]
        self.assertEqual(offsets, list(range(1, 26)))
        page = client.object("get_history", service="mahavishnu", channel="mcp:pages", since="20")
        self.assertEqual([entry["position"]["offset"] for entry in page["publications"]],
                         list(range(21, 26)))
        self.assertIn("NOT_FOUND", client.error("get_history", service="mahavishnu",
                                                channel="mcp:none", since="1"))
        self.end(client)

    async def test_results_stay_under_their_limit(self):
        for number in range(8):
            self.publish("mcp:large", data={"text": "x" * 1000, "n": number})
        client = self.mcp("--max-result-bytes", "4096")
        page = client.object("get_history", service="mahavishnu", channel="mcp:large")
        self.assertLess(len(page["publications"]), 4)
        self.assertTrue(page["more"])
        self.assertLessEqual(len(json.dumps(page, separators=(",", ":"))), 4096)
        self.end(client)

    async def test_channels_go_on_with_the_cursor(self):
        for number in range(7):
            self.publish(f"cursor:{number}")
        client = self.mcp()
        arguments, names = {}, []
        while True:
            page = client.object("list_channels", service="mahavishnu", pattern="cursor:*",
                                 limit=3, **arguments)
            names += [channel["channel"] for channel in page["channels"]]
            self.assertEqual(page["total"], 7)
            if page["next_cursor"] is None:
                break
            arguments = {"cursor": page["next_cursor"]}
        self.assertEqual(names, [f"cursor:{number}" for number in range(7)])
        self.assertIn("INVALID_ARGUMENT", client.error("list_channels", cursor="nonsense"))
        self.end(client)

    async def test_lists_are_those_of_wsctl(self):
        client = self.mcp()
        services = client.object("list_services")["services"]
        self.assertEqual([entry["name"] for entry in services], ["mahavishnu", "akosha"])
        self.assertEqual([worker["id"] for worker in client.object("list_workers")["workers"]],
                         ["worker-0", "worker-1"])
        self.assertEqual([entry["service"] for entry in client.object("get_ledger")["services"]],
                         [entry["service"] for entry in self.server.wsctl_json("ledger")])
        self.assertEqual(list(client.object("engine_status")),
                         list(self.server.wsctl_json("engine", "status")))
        self.end(client)

    async def test_connections_are_listed_and_closed(self):
        subscriber = await self.connect("akosha")
        client = self.mcp("--allow-write")
        listed = client.object("list_connections", service="akosha")
        self.assertEqual([entry["id"] for entry in listed["connections"]],
                         [subscriber.connection_id])
        self.assertEqual(client.object("disconnect_clients", id=subscriber.connection_id,
                                       code=4501)["disconnected"], 1)
        self.assertEqual((await subscriber.closed())[0], 4501)
        self.end(client)

    async def test_a_worker_is_drained(self):
        client = self.mcp("--allow-write")
        self.assertEqual(client.object("drain_worker", worker="worker-1", window_seconds=0),
                         {"id": "worker-1", "drained": True, "sessions": 0})
        self.assertIn("FAILED_PRECONDITION: worker-0 is the last worker",
                      client.error("drain_worker", worker="worker-0"))
        self.server.wsctl("workers", "restart", "worker-1")
        self.server.wait_ready()
        self.end(client)

    async def test_wrong_input_is_the_tools_error(self):
        client = self.mcp()
        self.assertEqual(client.error("nope"), "Unknown tool: 'nope'")
        self.assertIn('did you mean "mahavishnu"',
                      client.error("websocket_health_check", service="mahavishnuu"))
        self.assertIn("limit: 0 is less than 1", client.error("list_channels", limit=0))
        self.assertIn("Unknown tool", client.error("publish_event", service="mahavishnu",
                                                   channel="c", event="e"))
        self.assertEqual(client.call("websocket_broadcast_test_event", event_type="a b\n",
                                     room="r")["structuredContent"]["status"], "error")
        self.end(client)

    # ------------------------------------------------------------------------- calls at a time

    async def test_a_tail_holds_up_nothing_and_tells_its_progress(self):
        client = self.mcp()
        tail = client.start("tools/call", {
            "name": "tail_events", "arguments": {"service": "mahavishnu", "pattern": "mcp:tail",
                                                 "seconds": 60, "limit": 3},
            "_meta": {"progressToken": "t"}})
        progress = client.message(lambda each: each.get("method") == "notifications/progress")
        self.assertEqual(progress["params"], {"progressToken": "t", "progress": 1, "total": 60,
                                              "message": "0 publications"})
        self.assertEqual(client.request("ping")["result"], {})
        client.object("list_workers")
        for number in range(3):
            self.publish("mcp:tail", data={"n": number})
        result = client.answer(tail)["result"]["structuredContent"]
        self.assertEqual([entry["envelope"]["data"]["n"] for entry in result["publications"]],
                         [0, 1, 2])
        self.assertEqual(result["ended_by"], "limit")
        self.end(client)

    async def test_a_tail_ends_with_its_time(self):
        client = self.mcp()
        begin = time.monotonic()
        result = client.object("tail_events", service="mahavishnu", pattern="nothing", seconds=1)
        self.assertEqual(result, {"publications": [], "left_out": 0, "ended_by": "time"})
        self.assertGreater(time.monotonic() - begin, 0.9)
        self.end(client)

    async def test_a_cancelled_tail_is_not_answered(self):
        client = self.mcp()
        tail = client.start_call("tail_events", service="mahavishnu", seconds=300)
        client.send("notifications/cancelled", {"requestId": tail, "reason": "enough"})
        for _ in range(3):
            client.object("list_workers")
        self.assertTrue(client.nothing_more())
        self.end(client)

    async def test_many_calls_at_a_time_are_all_answered_by_few_threads(self):
        client = self.mcp("--max-calls", "4")
        before = client.threads()
        calls = [client.start_call("list_workers") for _ in range(15)]
        for call in reversed(calls):
            self.assertFalse(client.answer(call)["result"]["isError"])
        for _ in range(50):
            client.object("list_workers")
        # Its own threads and those that gRPC adds for its connections.
        self.assertLess(client.threads() - before, 25)
        self.end(client)

    # ------------------------------------------------------------------------- protocol

    async def test_a_stateless_client_needs_no_beginning(self):
        client = self.mcp(begin=False)
        found = client.request("server/discover", {"_meta": META})["result"]
        self.assertEqual(found["supportedVersions"], ["2026-07-28"])
        result = client.request("tools/call", {"_meta": META, "name": "websocket_health_check",
                                               "arguments": {}})["result"]
        self.assertEqual(result["structuredContent"]["status"], "healthy")
        self.assertEqual(result["resultType"], "complete")
        self.end(client)

    async def test_garbage_is_answered_and_survived(self):
        client = self.mcp("--max-message-bytes", "65536")
        lines = [b"{", b"\xff\xfe", b"[]", b"null", b'{"jsonrpc":"2.0","id":[],"method":"ping"}',
                 b"[" * 60000, b'{"a":' * 5000, b"x" * 70000, b"\x00"]
        for line in lines:
            client.send_line(line)
            self.assertIn("error", client.message())
        for line in (b"", b"   ", b'{"jsonrpc":"2.0","method":"notifications/nothing"}',
                     b'{"jsonrpc":"2.0","id":1,"result":{}}'):
            client.send_line(line)
        self.assertEqual(client.request("ping")["result"], {})
        self.assertTrue(client.nothing_more())
        self.end(client)

    async def test_documents_are_read(self):
        client = self.mcp()
        listed = client.request("resources/list")["result"]["resources"]
        for name in ("protocol.md", "services/mahavishnu.md"):
            self.assertIn(f"fanwire://docs/{name}", [entry["uri"] for entry in listed])
        for entry in listed:
            text = client.request("resources/read",
                                  {"uri": entry["uri"]})["result"]["contents"][0]["text"]
            self.assertEqual(len(text.encode()), entry.get("size", len(text.encode())))
        self.end(client)

    # ------------------------------------------------------------------------- the end

    async def test_at_the_end_of_its_input_it_answers_and_ends(self):
        client = self.mcp()
        client.call("list_workers")  # control is reached
        tail = client.start_call("tail_events", service="mahavishnu", seconds=300)
        call = client.start_call("list_workers")
        begin = time.monotonic()
        client.process.stdin.close()
        self.assertFalse(client.answer(call)["result"]["isError"])
        self.assertEqual(client.answer(tail)["result"]["structuredContent"]["ended_by"], "client")
        self.assertEqual(client.wait(), (0, ""))
        self.assertLess(time.monotonic() - begin, 120)  # not the 300 s of the tail

    async def test_a_signal_ends_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            client = self.mcp()
            client.start_call("tail_events", service="mahavishnu", seconds=300)
            client.request("ping")
            client.process.send_signal(number)
            self.assertEqual(client.wait(), (0, ""))

    async def test_a_reader_that_goes_away_ends_it(self):
        process = self.started()
        process.stdin.write(PING)
        process.stdout.readline()
        process.stdout.close()  # its input stays open
        self.assertEqual(process.wait(PATIENCE), 0)

    async def test_a_signal_ends_it_although_nobody_reads(self):
        process = self.started()
        process.stdin.write(BEGIN + LIST * 100)
        held = lambda: fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4))
        # A pipe of 64 KiB is full earlier: not every page of it is filled to its end.
        self.server.wait(lambda: int.from_bytes(held(), "little") > 40000, "a full pipe")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)

    def started(self):
        """Returns a process whose output nobody reads."""
        process = subprocess.Popen(self.server.wsctl_command("mcp"), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=self.server.environment, bufsize=0)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        return process


class McpControlAway(Case):
    async def test_it_serves_again_as_soon_as_control_does(self):
        client = Mcp(self.server)
        self.addCleanup(client.kill)
        client.initialize()
        self.assertEqual(client.object("websocket_health_check")["status"], "healthy")
        self.server.terminate()
        health = client.object("websocket_health_check")
        self.assertEqual(list(health), ["status", "error", "host", "port"])
        self.assertIn("control is not reachable", health["error"])
        self.assertIn("UNAVAILABLE: control is not reachable", client.error("list_workers"))
        self.assertIn("UNAVAILABLE", client.error("tail_events", service="mahavishnu"))
        self.server.start()
        self.server.wait(lambda: client.object("websocket_health_check")["status"] == "healthy",
                         "the tool to answer again")
        self.assertEqual(client.close(), (0, ""))


if __name__ == "__main__":
    main()
