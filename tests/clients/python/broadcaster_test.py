"""The helpers of the earlier services: names, arguments, results, and what they publish."""
import dataclasses
import inspect
import json
import os
import time
import types
import unittest
from unittest import mock

from fake_control import PATIENCE, FakeControl
from fanwire import broadcaster, pools_broadcaster
from fanwire.broadcaster import (MahavishnuWebSocketServer, WebSocketBroadcaster,
                                 broadcast_adapter_event, broadcast_pool_event,
                                 broadcast_workflow_event, get_websocket_status,
                                 start_websocket_server, stop_websocket_server)
from fanwire.publisher import AsyncPublisher, PublisherClosed

SETTINGS = types.SimpleNamespace()


class Case(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.control = FakeControl()
        self.addCleanup(self.control.stop)
        patch = mock.patch.dict(os.environ, {"FANWIRE_SERVER": self.control.address})
        patch.start()
        self.addCleanup(patch.stop)

    async def start(self, *arguments, **options):
        server = await start_websocket_server(*(arguments or (None, SETTINGS)), **options)
        self.addAsyncCleanup(stop_websocket_server, server)
        return server

    async def published(self, server):
        """Returns (channel, event, data without timestamp) of all events so far."""
        await server.publisher.flush(PATIENCE)
        found = []
        for event in self.control.accepted:
            data = json.loads(event.json)
            if "timestamp" in data:
                self.assertRegex(data.pop("timestamp"), r"^20\d\d-.*T.*\+00:00$")
            found.append((event.channel, event.event, data))
        self.control.accepted.clear()
        return found


class Starting(Case):
    async def test_a_handle_with_the_attributes_of_the_server(self):
        manager = object()
        server = await self.start(manager, SETTINGS)
        self.assertIsInstance(server, MahavishnuWebSocketServer)
        self.assertTrue(server.is_running)
        self.assertIs(server.pool_manager, manager)
        # Where control says that clients connect.
        self.assertEqual((server.host, server.port, server.uri, server.max_connections,
                          server.message_rate_limit),
                         ("127.0.0.1", 9999, "ws://127.0.0.1:9999", 500, 50))
        self.assertIsNone(server.ssl_context)
        self.assertEqual((server.connections, server.connection_rooms, server.room_connections,
                          server.event_handlers), ({}, {}, {}, {}))

    async def test_all_arguments_of_the_original(self):
        names = list(inspect.signature(start_websocket_server).parameters)
        self.assertEqual(names[:13], [
            "pool_manager", "settings", "host", "port", "tls_enabled", "cert_file", "key_file",
            "ca_file", "verify_client", "auto_cert", "event_transport", "notification_router",
            "dead_letter_queue"])
        self.control.health = None
        server = await self.start(None, SETTINGS, "localhost", 8123, True, "cert", "key", "ca",
                                  True, True)
        self.assertEqual((server.uri, server.cert_file, server.key_file, server.ca_file,
                          server.verify_client, server.auto_cert),
                         ("wss://localhost:8123", "cert", "key", "ca", True, True))

    async def test_settings(self):
        self.control.health = None
        server = await self.start(None, types.SimpleNamespace(
            websocket_enabled=True, websocket_host="::1", websocket_port=8001))
        self.assertEqual((server.host, server.port), ("::1", 8001))
        self.assertIsNone(await self.start(None, types.SimpleNamespace(websocket_enabled=False)))

    async def test_none_if_it_cannot_work(self):
        with self.assertLogs("fanwire.broadcaster", "ERROR") as logged:
            self.assertIsNone(await self.start(None, SETTINGS, event_transport=object()))
            os.environ["FANWIRE_SERVER"] = "host:port"
            self.assertIsNone(await self.start(None, SETTINGS))
        self.assertIn("event bus", logged.output[0])
        self.assertIn("host:port", logged.output[1])

    async def test_a_handle_while_control_is_away_and_its_events_arrive_later(self):
        self.control.stop()
        server = await self.start(None, SETTINGS, connect_timeout=0.01)
        self.assertTrue(await broadcast_workflow_event(server, "started", "wf", {}))
        self.control = FakeControl(self.control.address)
        self.addCleanup(self.control.stop)
        self.assertEqual(len(await self.published(server)), 1)

    async def test_status(self):
        self.assertEqual(get_websocket_status(None), {
            "enabled": False, "status": "not_initialized", "host": "127.0.0.1", "port": 8690,
            "secure": False})
        server = await self.start()
        expected = {"enabled": True, "status": "running", "host": "127.0.0.1", "port": 9999,
                    "uri": "ws://127.0.0.1:9999", "secure": False, "connections": 3, "rooms": 2}
        self.assertEqual(get_websocket_status(server), expected)
        self.control.stop()
        self.assertEqual(get_websocket_status(server), {**expected, "connections": 0, "rooms": 0})
        await stop_websocket_server(server)
        self.assertEqual(get_websocket_status(server)["status"], "stopped")
        await stop_websocket_server(None)

    async def test_each_service_has_a_server(self):
        for name in broadcaster.__all__:
            server_class = getattr(broadcaster, name)
            if not name.endswith("WebSocketServer") or not server_class.service:
                continue
            server = await self.start(None, SETTINGS, server_class=server_class)
            self.assertIsInstance(server, server_class)
            await stop_websocket_server(server)

    async def test_a_given_publisher_is_used_and_left_open(self):
        async with AsyncPublisher() as publisher:
            server = await self.start(None, SETTINGS, publisher=publisher)
            await server.broadcast_workflow_failed("wf", "why")
            await stop_websocket_server(server)
            await publisher.publish("s", "c", "e")
            self.assertEqual(len(self.control.accepted), 2)


class Events(Case):
    async def test_workflow_events(self):
        server = await self.start()
        for kind, data in (("started", {"prompt": "p", "workflow_id": "other"}),
                           ("stage_completed", {"stage_name": "s", "result": {"a": 1}}),
                           ("stage_completed", {}), ("completed", {"b": 2}),
                           ("failed", {"error": "e"}), ("failed", {})):
            self.assertIs(await broadcast_workflow_event(server, kind, "wf", data), True)
        self.assertEqual(await self.published(server), [
            ("workflow:wf", "workflow.started", {"workflow_id": "other", "prompt": "p"}),
            ("workflow:wf", "workflow.stage_completed",
             {"workflow_id": "wf", "stage_name": "s", "result": {"a": 1}}),
            ("workflow:wf", "workflow.stage_completed",
             {"workflow_id": "wf", "stage_name": "unknown", "result": {}}),
            ("workflow:wf", "workflow.completed", {"workflow_id": "wf", "result": {"b": 2}}),
            ("workflow:wf", "workflow.failed", {"workflow_id": "wf", "error": "e"}),
            ("workflow:wf", "workflow.failed", {"workflow_id": "wf", "error": "Unknown error"})])

    async def test_pool_events(self):
        server = await self.start()
        self.assertTrue(await broadcast_pool_event(server, "status_changed", "pool:p", {"a": 1}))
        self.assertTrue(await broadcast_pool_event(server, "worker_status_changed", "p",
                                                   {"worker_id": "w", "status": "busy"}))
        self.assertTrue(await broadcast_pool_event(server, "worker_status_changed", "p", {}))
        self.assertEqual(await self.published(server), [
            ("pool:p", "pool.status_changed", {"pool_id": "p", "status": {"a": 1}}),
            ("pool:p", "worker.status_changed",
             {"worker_id": "w", "status": "busy", "pool_id": "p"}),
            ("pool:p", "worker.status_changed",
             {"worker_id": "unknown", "status": "unknown", "pool_id": "p"})])

    async def test_the_broadcaster(self):
        server = await self.start()
        tells = WebSocketBroadcaster(server)
        self.assertIs(tells.server, server)
        self.assertEqual([await tells.workflow_started("wf", {"adapter": "a"}),
                          await tells.workflow_stage_completed("wf", "s", {}),
                          await tells.workflow_completed("wf", {"r": 1}),
                          await tells.workflow_failed("wf", "e"),
                          await tells.pool_status_changed("p", {"n": 1}),
                          await tells.worker_status_changed("w", "idle", "p")], [True] * 6)
        self.assertEqual([event for _, event, _ in await self.published(server)], [
            "workflow.started", "workflow.stage_completed", "workflow.completed",
            "workflow.failed", "pool.status_changed", "worker.status_changed"])
        self.assertFalse(await WebSocketBroadcaster(None).workflow_failed("wf", "e"))

    async def test_dhara(self):
        server = await self.start(None, SETTINGS, server_class=broadcaster.DharaWebSocketServer)
        self.assertTrue(await broadcast_adapter_event(server, "stored", "a", {"type": "t"}))
        self.assertTrue(await WebSocketBroadcaster(server).adapter_updated("a", {}))
        self.assertFalse(await broadcast_adapter_event(server, "burnt", "a", {}))
        self.assertEqual(await self.published(server), [
            ("adapter:a", "adapter.stored", {"adapter_id": "a", "type": "t"}),
            ("adapter:a", "adapter.updated", {"adapter_id": "a"})])
        self.assertEqual(server.service, "dhruva")

    async def test_teams_go_to_everybody_and_to_the_user(self):
        server = await self.start()
        await server.broadcast_team_execution_started("t", "x" * 300, user_id="u")
        await server.broadcast_team_parsed("g", "i", ["s"], 0.12345)
        self.assertEqual(await self.published(server), [
            ("goal-teams", "team.execution_started", {"team_id": "t", "task": "x" * 200}),
            ("goal-teams:u", "team.execution_started", {"team_id": "t", "task": "x" * 200}),
            ("goal-teams", "team.parsed",
             {"goal": "g", "intent": "i", "skills": ["s"], "confidence": 0.123})])

    async def test_messages_of_any_kind_go_to_a_room(self):
        server = await self.start()
        theirs = types.SimpleNamespace(type="event", event="test.event", data={"a": 1}, room=None)
        self.assertTrue(await server.broadcast_to_room("r", theirs))
        self.assertTrue(await server.broadcast_to_room("r", {"event": "test.event", "data": {}}))
        self.assertEqual(theirs.room, "r")
        self.assertEqual(await self.published(server), [("r", "test.event", {"a": 1}),
                                                        ("r", "test.event", {})])

    async def test_tests_that_replace_a_method_still_work(self):
        server = MahavishnuWebSocketServer(pool_manager=None)
        server.broadcast_to_room = mock.AsyncMock()
        await server.broadcast_adapter_enabled("a1", "Adapter", False)
        room, event = server.broadcast_to_room.call_args[0]
        self.assertEqual((room, event.event, event.room, event.data["enabled"],
                          event.data["reason"]), ("adapters", "adapter.disabled", "adapters", False,
                                                  None))
        fake = mock.AsyncMock(is_running=True)
        self.assertTrue(await broadcast_workflow_event(fake, "started", "wf", {"a": 1}))
        fake.broadcast_workflow_started.assert_awaited_once_with("wf", {"a": 1})


@dataclasses.dataclass(frozen=True)
class Frozen:
    event: str
    data: dict


class Broken:
    def model_dump(self, mode):
        raise OSError("the model's database is away")


class Failing(Case):
    async def test_helpers_return_false_and_do_not_raise(self):
        server = await self.start()
        with self.assertLogs("fanwire", "WARNING"):
            self.assertIs(await broadcast_workflow_event(server, "burnt", "wf", {}), False)
            self.assertIs(await broadcast_pool_event(server, "burnt", "p", {}), False)
            self.assertIs(await broadcast_workflow_event(server, "failed", "wf", None), False)
            self.assertIs(await server.broadcast_workflow_completed("wf", object()), False)
            self.assertIs(await server.broadcast_workflow_failed("wf", "x" * 1_000_000), False)
            self.assertIs(await server.broadcast_workflow_started("wf", ["no", "dict"]), False)
            deep = {}
            for _ in range(100_000):
                deep = {"a": deep}
            self.assertIs(await server.broadcast_workflow_started("wf", deep), False)
            self.assertIs(await server.broadcast_workflow_completed("wf", {"a": Broken()}), False)
            self.assertIs(await server.broadcast_to_room("r", "no message"), False)
            self.assertIs(await server.broadcast_pool_closed(5), True)
            self.assertIs(await server.broadcast_team_parsed("g", "i", [], None), True)
        await stop_websocket_server(server)
        self.assertIs(await broadcast_workflow_event(server, "started", "wf", {}), False)
        self.assertIs(await broadcast_workflow_event(None, "started", "wf", {}), False)
        self.assertIs(await server.broadcast_workflow_failed("wf", "why"), False)
        self.assertEqual([event.channel for event in self.control.accepted],
                         ["pool:5", "goal-teams"])

    async def test_an_id_that_brings_its_kind_is_not_given_it_twice(self):
        server = await self.start()
        tells = pools_broadcaster.create_broadcaster(server)
        await server.broadcast_workflow_failed("workflow:wf", "why")
        await server.broadcast_workflow_failed("workflows", "why")
        await server.broadcast_team_error("t", "E", "m", user_id="goal-teams:u")
        await tells.broadcast_pool_closed("pool:local")
        await tells.broadcast_pool_closed("local:pool:local")
        self.assertEqual(
            [(channel, data.get("workflow_id") or data.get("pool_id"))
             for channel, _, data in await self.published(server)],
            [("workflow:wf", "workflow:wf"), ("workflow:workflows", "workflows"),
             ("goal-teams", None), ("goal-teams:u", None), ("pool:local", "pool:local"),
             ("pool:local:pool:local", "local:pool:local")])

    async def test_a_message_that_cannot_be_changed_is_published(self):
        server = await self.start()
        self.assertIs(await server.broadcast_to_room("r", Frozen("e", {"a": 1})), True)
        self.assertEqual(await self.published(server), [("r", "e", {"a": 1})])

    async def test_they_raise_if_asked_to(self):
        server = await self.start(None, SETTINGS, raise_errors=True)
        with self.assertRaises(ValueError):
            await broadcast_workflow_event(server, "burnt", "wf", {})
        with self.assertRaises(TypeError):
            await WebSocketBroadcaster(server).workflow_completed("wf", {"a": object()})
        await stop_websocket_server(server)
        with self.assertRaises(PublisherClosed):
            await server.broadcast_workflow_failed("wf", "why")

    async def test_broadcasts_never_wait_and_drop_the_oldest(self):
        self.control.hold = True
        server = await self.start()
        started = time.monotonic()
        for n in range(12_000):
            self.assertTrue(await server.broadcast_workflow_failed("wf", str(n)))
        self.assertLess(time.monotonic() - started, PATIENCE)
        self.assertEqual(server.publisher.stats()["dropped"], 2000)
        self.control.release()
        self.assertEqual((await self.published(server))[-1][2]["error"], "11999")

    async def test_what_has_no_meaning_says_so(self):
        server = await self.start()
        for call in (server.join_room("r", "c"), server.leave_room("r", "c"),
                     server.leave_all_rooms("c"), server.send_to_connection("c", None),
                     server.on_connect(None, "c"), server.on_disconnect(None, "c"),
                     server.on_message(None, None)):
            with self.assertRaisesRegex(NotImplementedError, "Fanwire"):
                await call
        for function in (server.authenticate_websocket, server.get_rate_limit_stats):
            with self.assertRaisesRegex(NotImplementedError, "Fanwire"):
                function("token")

    async def test_local_handlers(self):
        server = MahavishnuWebSocketServer(None)
        called = []

        @server.on_event("a")
        async def later(data):
            called.append(("later", data))

        @server.on_event("a")
        def now(data):
            called.append(("now", data))

        @server.on_event("a")
        def wrong(data):
            raise RuntimeError
        with self.assertLogs("fanwire.broadcaster", "ERROR"):
            await server.emit_event("a", 1)
        await server.emit_event("b", 2)
        self.assertEqual(sorted(called), [("later", 1), ("now", 1)])


class Pools(Case):
    async def test_its_own_order_of_arguments(self):
        server = await self.start()
        tells = pools_broadcaster.create_broadcaster(server)
        results = [await call for call in (
            tells.broadcast_pool_spawned("p", {"pool_type": "x"}),
            tells.broadcast_pool_scaled("p", 3),
            tells.broadcast_pool_status_changed("p", "running"),
            tells.broadcast_pool_status_changed("p", {"a": 1}),
            tells.broadcast_worker_added("p", "w"), tells.broadcast_worker_removed("p", "w"),
            tells.broadcast_worker_status_changed("p", "w", "idle"),
            tells.broadcast_task_assigned("p", "w", {"task_id": "t"}),
            tells.broadcast_task_completed("p", "w", {"success": True}),
            tells.broadcast_pool_closed("p"),
            tells.broadcast_learning_metrics(1, 2, 3, 4.5678),
            tells.broadcast_skill_effectiveness("s", 0.5),
            tells.broadcast_strategy_recommender_metrics())]
        self.assertEqual(results, [True] * 13)
        events = await self.published(server)
        self.assertEqual(events[2], ("pool:p", "pool.status_changed",
                                     {"pool_id": "p", "status": {"state": "running"}}))
        self.assertEqual(events[6], ("pool:p", "worker.status_changed",
                                     {"pool_id": "p", "worker_id": "w", "status": "idle"}))
        self.assertEqual(events[10], ("symbiotic:ecosystem", "learning.metrics", {
            "patterns_strengthened": 1, "patterns_weakened": 2, "model_retrains": 3,
            "avg_confidence_score": 4.57}))

    async def test_its_buffer(self):
        tells = pools_broadcaster.WebSocketBroadcaster(None, buffer_size=3, buffer_enabled=True)
        for n in range(5):
            self.assertFalse(await tells.broadcast_pool_scaled("p", n))
        self.assertEqual(await tells.flush_buffer(), 0)
        server = await self.start()
        tells.set_server(server)
        self.assertEqual(await tells.flush_buffer(), 3)
        self.assertEqual([data["worker_count"] for _, _, data in await self.published(server)],
                         [2, 3, 4])
        await stop_websocket_server(server)
        await tells.broadcast_pool_scaled("p", 9)
        self.assertEqual((tells.clear_buffer(), tells.clear_buffer()), (1, 0))

    async def test_without_a_buffer_nothing_waits(self):
        tells = pools_broadcaster.WebSocketBroadcaster()
        self.assertFalse(await tells.broadcast_pool_closed("p"))
        self.assertEqual(tells.clear_buffer(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
