"""mahavishnu's example client and demos work: these tests read frames exactly as they do."""
import asyncio
import json

import websockets

from harness import Case, main, shipped_config
from harness.server import PATIENCE


class ExampleClient:
    """MahavishnuWebSocketClient of the examples, which takes the next frame as the answer."""

    def __init__(self, url):
        self.url = url
        self.socket = None

    async def _frame(self):
        return json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE))

    async def connect(self):
        self.socket = await websockets.connect(self.url)
        return (await self._frame()).get("message", "Welcome")

    async def subscribe_to_channel(self, channel):
        await self.socket.send(json.dumps({"type": "request", "event": "subscribe",
                                           "data": {"channel": channel}, "id": f"sub_{channel}"}))
        return (await self._frame()).get("status") == "subscribed"

    async def unsubscribe_from_channel(self, channel):
        await self.socket.send(json.dumps({"type": "request", "event": "unsubscribe",
                                           "data": {"channel": channel},
                                           "id": f"unsub_{channel}"}))

    async def get_workflow_status(self, workflow_id):
        await self.socket.send(json.dumps({"type": "request", "event": "get_workflow_status",
                                           "data": {"workflow_id": workflow_id},
                                           "id": f"get_status_{workflow_id}"}))
        answer = await self._frame()
        return answer["data"] if answer["type"] == "response" else None


class ExampleClientTest(Case):
    @classmethod
    def config(cls):
        return shipped_config()

    async def dial(self, name="mahavishnu"):
        client = ExampleClient(self.server.url(name))
        self.greeting = await client.connect()
        self.addAsyncCleanup(client.socket.close)
        return client

    async def test_monitoring_a_workflow(self):
        client = await self.dial()
        self.assertEqual(self.greeting, "Connected to Mahavishnu orchestration")
        self.assertTrue(await client.subscribe_to_channel("workflow:wf_example_123"))
        for name, data in [("workflow.started", {}), ("workflow.stage_completed",
                                                      {"stage_name": "plan", "result": {}}),
                           ("workflow.failed", {"error": "boom"})]:
            self.publish("workflow:wf_example_123", name,
                         {"workflow_id": "wf_example_123", **data})
            message = await client._frame()
            self.assertEqual((message["event"], message["data"]["workflow_id"]),
                             (name, "wf_example_123"))

    async def test_monitoring_a_pool(self):
        client = await self.dial()
        self.assertTrue(await client.subscribe_to_channel("pool:pool_local"))
        self.publish("pool:pool_local", "worker.status_changed",
                     {"worker_id": "w1", "status": "busy", "pool_id": "pool_local"})
        message = await client._frame()
        self.assertEqual((message["data"]["worker_id"], message["data"]["status"]), ("w1", "busy"))

    async def test_several_channels_and_global(self):
        client = await self.dial()
        for channel in ("workflow:wf_example_123", "pool:pool_local", "global", "pool:local"):
            self.assertTrue(await client.subscribe_to_channel(channel), channel)
        self.publish("workflow:other", "workflow.started", {"workflow_id": "other"})
        self.assertEqual((await client._frame())["room"], "global")

    async def test_status(self):
        client = await self.dial()
        self.publish("workflow:wf_status", "workflow.started", {"workflow_id": "wf_status"})
        status = await client.get_workflow_status("wf_status")
        self.assertEqual((status["workflow_id"], status["status"]), ("wf_status", "running"))
        self.assertIsInstance(status["stages_completed"], int)

    async def test_its_unread_unsubscribe_answer_is_the_next_frame(self):
        client = await self.dial()
        self.assertTrue(await client.subscribe_to_channel("workflow:left"))
        await client.unsubscribe_from_channel("workflow:left")
        message = await client._frame()
        self.assertEqual((message["type"], message["event"], message["status"]),
                         ("response", "unsubscribe", "unsubscribed"))

    async def test_workflow_monitoring_demo(self):
        """The demo expects version and capabilities in the welcome, and a pong to its JSON ping."""
        async with websockets.connect(self.server.url()) as socket:
            welcome = json.loads(await socket.recv())
            self.assertIsInstance(welcome["version"], str)
            self.assertTrue(all(isinstance(name, str) for name in welcome["capabilities"]))
            await socket.send(json.dumps({"type": "ping"}))
            self.assertEqual(json.loads(await socket.recv())["type"], "pong")

    async def test_fastblocks_examples_match_by_correlation_id(self):
        async with websockets.connect(self.server.url("fastblocks")) as socket:
            await socket.send(json.dumps({
                "type": "request", "event": "subscribe", "correlation_id": "sub_ui:card",
                "data": {"channel": "ui:card"}}))
            await socket.send(json.dumps({
                "type": "request", "event": "get_state", "correlation_id": "req_001",
                "data": {"state_path": "cart"}}))
            seen = {}
            while len(seen) < 2:
                message = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
                if message["correlation_id"]:
                    seen[message["correlation_id"]] = message["type"]
            self.assertEqual(seen, {"sub_ui:card": "response", "req_001": "response"})

    async def test_health_script(self):
        """check_websocket_health pings at once, and the first frame gives the result."""
        for entry in self.server.config["services"]:
            for number, _ in enumerate(entry["listeners"]):
                async with websockets.connect(self.server.url(entry["name"], number)) as socket:
                    await socket.send(json.dumps({"type": "ping", "id": "health_check_1"}))
                    first = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
                    self.assertIn(first["type"], ("pong", "event", "response", "connected"))


if __name__ == "__main__":
    main()
