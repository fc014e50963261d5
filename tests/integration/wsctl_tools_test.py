"""The five tools print exactly the JSON of the original MCP tools, with the right numbers."""
import json
import subprocess

from fanwire.v1 import admin_pb2

from harness import Case, Server, main, service, small_config
from harness.server import PATIENCE

TOOLS = {"health-check": "websocket_health_check", "get-status": "websocket_get_status",
         "list-rooms": "websocket_list_rooms", "get-metrics": "websocket_get_metrics"}


class Tools(Case):
    @classmethod
    def config(cls):
        return small_config(service(max_connections=300, message_rate_limit=50),
                            service("akosha"), workers=2)

    async def asyncSetUp(self):
        """Opens five sessions on two workers, with subscriptions to two channels and a pattern."""
        self.clients = [await self.connect() for _ in range(5)]
        for client in self.clients[:3]:
            await client.subscribe("workflow:t")
        await self.clients[3].subscribe("pool:t")
        await self.clients[4].subscribe("pool:*")
        self.ids = [client.connection_id for client in self.clients]

        def settled():
            return self.tool("health-check")["connections"] == 5
        self.server.wait(settled, "the sessions of earlier tests to be gone")

    def tool(self, command, *arguments, name="mahavishnu"):
        return self.server.wsctl_json(command, *arguments, "--service", name)

    async def test_health_check(self):
        self.assertEqual(self.tool("health-check"), {
            "status": "healthy", "host": "127.0.0.1", "port": self.server.port(),
            "connections": 5, "rooms": 3, "max_connections": 300, "message_rate_limit": 50})

    async def test_get_status(self):
        status = self.tool("get-status")
        self.assertEqual(list(status), ["server", "connections", "rooms", "total_connections",
                                        "total_rooms"])
        self.assertEqual(status["server"], {"status": "running", "host": "127.0.0.1",
                                            "port": self.server.port()})
        self.assertEqual(sorted(status["connections"]), sorted(self.ids))
        self.assertEqual(status["total_connections"], 5)
        self.assertEqual(status["total_rooms"], 3)
        rooms = status["rooms"]
        self.assertEqual(set(rooms), {"workflow:t", "pool:t", "pool:*"})
        self.assertEqual(rooms["workflow:t"]["subscribers"], 3)
        self.assertEqual(sorted(rooms["workflow:t"]["connection_ids"]), sorted(self.ids[:3]))
        self.assertEqual(rooms["pool:t"], {"subscribers": 1, "connection_ids": [self.ids[3]]})
        self.assertEqual(rooms["pool:*"], {"subscribers": 1, "connection_ids": [self.ids[4]]})

    async def test_list_rooms(self):
        self.assertEqual(self.tool("list-rooms"), {
            "rooms": {"pool:*": {"subscribers": 1}, "pool:t": {"subscribers": 1},
                      "workflow:t": {"subscribers": 3}}, "total_rooms": 3})

    async def test_no_rooms_is_an_object(self):
        self.assertEqual(self.tool("list-rooms", name="akosha"), {"rooms": {}, "total_rooms": 0})

    async def test_broadcast_test_event(self):
        answer = self.tool("broadcast-test-event", "workflow.started", "workflow:t",
                           '{"workflow_id": "t", "test": "mine"}')
        self.assertEqual(answer, {
            "status": "broadcasted", "event_type": "workflow.started", "room": "workflow:t",
            "subscribers": 3, "message": "Test event broadcast successfully"})
        for client in self.clients[:3]:
            frame = await client.event("workflow.started")
            self.assertEqual(frame["room"], "workflow:t")
            self.assertEqual(frame["data"]["workflow_id"], "t")
            self.assertIs(frame["data"]["test"], True)
            self.assertRegex(frame["data"]["timestamp"], r"^\d{4}-.*\+00:00$")

    async def test_broadcast_keeps_every_digit_and_the_order_of_keys(self):
        data = '{"zebra":9007199254740993,"ant":{"y":-9223372036854775808,"b":18446744073709551615}'
        answer = self.tool("broadcast-test-event", "big.numbers", "pool:t", data + "}")
        self.assertEqual(answer["status"], "broadcasted")
        text = await self.clients[3].recv_text()
        self.assertIn(f'"data":{data},"timestamp":', text)

    async def test_broadcast_takes_channel_for_room(self):
        for flag in ("--room", "--channel"):
            answer = self.tool("broadcast-test-event", "a.b", flag, "pool:t", '{"by": "option"}')
            self.assertEqual((answer["room"], answer["subscribers"]), ("pool:t", 2))
            self.assertEqual((await self.clients[3].event("a.b"))["data"]["by"], "option")
        answer = json.loads(self.server.admin.BroadcastTestEvent(
            admin_pb2.BroadcastTestEventRequest(event_type="a.b", channel="pool:t")).json)
        self.assertEqual((answer["room"], answer["subscribers"]), ("pool:t", 2))
        await self.clients[3].event("a.b")

    async def test_broadcast_without_data_and_without_subscribers(self):
        answer = self.tool("broadcast-test-event", "any.name", "nobody:here")
        self.assertEqual((answer["status"], answer["subscribers"]), ("broadcasted", 0))

    async def test_broadcast_to_a_bad_room_is_told_inside(self):
        done = self.server.wsctl("--output", "json", "broadcast-test-event", "any.name",
                                 "bad\nroom", "--service", "mahavishnu", check=False)
        self.assertNotEqual(done.returncode, 0)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["status"], answer["event_type"], answer["room"]),
                         ("error", "any.name", "bad\nroom"))
        self.assertTrue(answer["error"])

    async def test_get_metrics(self):
        before = self.tool("get-metrics")
        self.assertEqual(list(before), ["uptime_seconds", "total_broadcasts",
                                        "average_message_rate", "peak_connections",
                                        "current_connections"])
        self.publisher.publish_many("workflow:t", 40)
        after = self.tool("get-metrics")
        self.assertEqual(after["total_broadcasts"] - before["total_broadcasts"], 40)
        self.assertEqual(after["current_connections"], 5)
        self.assertGreaterEqual(after["peak_connections"], 5)
        self.assertGreater(after["average_message_rate"], 0)
        self.assertGreaterEqual(after["uptime_seconds"], 0)

    async def test_each_is_callable_by_its_tool_name(self):
        for command, tool in TOOLS.items():
            with self.subTest(tool=tool):
                self.assertEqual(set(self.server.wsctl_json(tool)), set(self.tool(command)))
        answer = self.server.wsctl_json("websocket_broadcast_test_event", "a.b", "workflow:t")
        # A tool name without a service means the default service.
        self.assertEqual((answer["status"], answer["subscribers"]), ("broadcasted", 3))

    async def test_without_a_service_the_commands_show_all(self):
        for command in TOOLS:
            with self.subTest(command=command):
                answer = self.server.wsctl_json(command)
                self.assertEqual(set(answer), {"services"})
                self.assertEqual(set(answer["services"]), {"mahavishnu", "akosha"})
                if command != "get-metrics":
                    self.assertEqual(answer["services"]["mahavishnu"], self.tool(command))

    async def test_the_test_event_never_goes_to_all(self):
        answer = self.server.wsctl_json("broadcast-test-event", "a.b", "workflow:t")
        self.assertEqual(answer["subscribers"], 3)

    async def test_an_unknown_service(self):
        for command in TOOLS:
            done = self.server.wsctl(command, "--service", "nobody", check=False)
            self.assertEqual(done.returncode, 69, command)

    async def test_people_get_text(self):
        for command in TOOLS:
            done = self.server.wsctl(command)
            self.assertTrue(done.stdout.strip(), command)
            with self.assertRaises(json.JSONDecodeError):
                json.loads(done.stdout)


class NothingThere(Case):
    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    async def test_without_control(self):
        server = Server(small_config())  # a server that was never started
        try:
            for command in [*TOOLS, "websocket_health_check"]:
                done = subprocess.run(server.wsctl_command("--output", "json", command),
                                      capture_output=True, text=True, timeout=PATIENCE,
                                      env=server.environment)
                self.assertEqual(done.returncode, 78, command)  # UNAVAILABLE
                self.assertTrue(done.stderr)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
