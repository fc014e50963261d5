"""Every broadcast method of the Python library, against the shipped configuration with its catalog
enforced: control accepts what each publishes, and no event of the catalog is without a method."""
import inspect
import logging
import re

from fanwire import broadcaster, catalog, pools_broadcaster
from fanwire.publisher import AsyncPublisher
from harness import Case, eventually, main, shipped_config
from harness.server import PATIENCE

SERVERS = [getattr(broadcaster, name) for name in broadcaster.__all__
           if name.endswith("WebSocketServer") and getattr(broadcaster, name).service]

# A value for each argument of the broadcast methods, by name; others are a text.
VALUES = {
    **dict.fromkeys(["metadata", "result", "final_result", "config", "task", "details", "metrics",
                     "summary", "data", "quality_gate_report", "event_data", "user_info", "element",
                     "render_info", "context", "changes", "state"], {"key": 1}),
    **dict.fromkeys(["skills", "capabilities", "capabilities_matched", "targets", "adapters",
                     "added", "removed", "updated", "element_ids", "files"], ["a", "b"]),
    **dict.fromkeys(["confidence", "duration_ms", "duration_seconds", "latency_ms", "score",
                     "threshold", "line_coverage", "branch_coverage", "path_coverage",
                     "quality_score", "duration", "x", "y", "avg_confidence_score", "success_rate",
                     "avg_confidence", "avg_success_rate"], 1.5),
    **dict.fromkeys(["worker_count", "consecutive_failures", "record_count", "total_tests",
                     "tests_completed", "tests_failed", "adapters_count", "version", "results",
                     "patterns_strengthened", "patterns_weakened", "model_retrains",
                     "total_attempts", "recommendations_made", "high_confidence_count"], 3),
    **dict.fromkeys(["success", "fallback_used", "is_healthy", "enabled"], True),
    "position": {"x": 1, "y": 2.5}, "confidence": 0.5, "probe_at": "2026-02-10T12:00:00+00:00",
    "top_skills": [{"skill_name": "s", "total_invocations": 1, "completion_rate": 0.5,
                    "avg_duration_seconds": None}],
    "anomalies": [{"skill_name": "s", "detected_at": "2026-02-10T12:00:00+00:00",
                   "anomaly_type": "drop", "deviation_score": 2.5}],
}
# The type differs between methods.
EXCEPTIONS = {
    ("broadcast_pool_status_changed", "status"): {"worker_count": 1},
    ("broadcast_team_execution_started", "task"): "x" * 300,
    ("broadcast_adapter_activated", "version"): "1.0",
    ("broadcast_worker_availability_changed", "state"): "ready",
}


def fits(channel, template):
    parts = re.split(r"\{\w+\}", template)
    return re.fullmatch(".+".join(re.escape(part) for part in parts), channel) is not None


def methods(server):
    return [name for name in dir(server)
            if name.startswith("broadcast_") and name != "broadcast_to_room"]


async def call(server, name, required_only):
    """Calls a method with a value for each argument, or for those without a default."""
    method = getattr(server, name)
    arguments = {}
    for argument in inspect.signature(method).parameters.values():
        if required_only and argument.default is not argument.empty:
            continue
        value = VALUES.get(argument.name, argument.name + "1")
        arguments[argument.name] = EXCEPTIONS.get((name, argument.name), value)
    return await method(**arguments)


class Broadcasts(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["catalog_check"] = "enforce"
        return config

    async def asyncSetUp(self):
        self.refused = []
        self.publisher = AsyncPublisher(self.server.address, on_refused=self.refused.append)
        self.addAsyncCleanup(self.publisher.close)
        self.said = set()  # (service, event, channel)
        take = self.publisher.enqueue_nowait

        def enqueue_nowait(service, channel, event, data):
            self.said.add((service, event, channel))
            return take(service, channel, event, data)
        self.publisher.enqueue_nowait = enqueue_nowait

    async def start(self, server_class):
        server = await broadcaster.start_websocket_server(
            None, None, server_class=server_class, publisher=self.publisher, raise_errors=True)
        self.addAsyncCleanup(server.stop)
        return server

    async def test_every_method_publishes_what_the_catalog_allows(self):
        for server_class in SERVERS:
            server = await self.start(server_class)
            for name in methods(server):
                for required_only in (False, True):
                    self.assertIs(await call(server, name, required_only), True, name)
        server = await self.start(broadcaster.MahavishnuWebSocketServer)
        await server.broadcast_adapter_enabled("a", "A", False)
        tells = pools_broadcaster.WebSocketBroadcaster(server)
        for name in methods(tells):
            self.assertIs(await call(tells, name, False), True, name)
        await self.publisher.flush(PATIENCE)
        self.maxDiff = None
        self.assertEqual([str(error) for error in self.refused], [])

    async def test_every_event_of_the_catalog_has_a_method(self):
        for server_class in SERVERS:
            server = await self.start(server_class)
            for name in methods(server):
                await call(server, name, False)
            if server.service == "mahavishnu":
                await server.broadcast_adapter_enabled("a", "A", False)
        missing = [f"{kind!r} {template}" for kind in catalog.events() for template in kind.channels
                   if not any(fits(channel, template) for service, event, channel in self.said
                              if (service, event) == (kind.service, kind.event))]
        self.assertEqual(missing, [])

    async def test_a_subscriber_gets_the_original_keys(self):
        server = await self.start(broadcaster.CrackerjackWebSocketServer)
        # The handle says where clients connect, and the status counts them.
        client = await self.connect("crackerjack")
        self.assertEqual(server.uri, self.server.url("crackerjack"))
        await client.subscribe("quality:p")
        await client.subscribe("coverage")
        await server.broadcast_coverage_updated("p", 80.5, 70, 60)
        for room in ("quality:p", "coverage"):
            frame = await client.event("coverage.updated")
            self.assertEqual((frame["room"], list(frame["data"])),
                             (room, ["project", "line_coverage", "branch_coverage",
                                     "path_coverage", "timestamp"]))
        def counted():
            now = broadcaster.get_websocket_status(server)
            return now if (now["connections"], now["rooms"]) == (1, 2) else None
        status = await eventually(counted, "the client in the status")
        self.assertEqual((status["status"], status["port"]),
                         ("running", self.server.port("crackerjack")))

    async def test_session_buddys_clients_get_the_metrics(self):
        server = await self.start(broadcaster.SessionBuddyWebSocketServer)
        client = await self.connect("session-buddy", welcome=False)
        self.assertEqual((await client.recv())["type"], "connected")
        await call(server, "broadcast_metrics_update", False)
        while True:
            frame = await client.recv()
            if frame["data"]["top_skills"]:
                break
        self.assertEqual(frame["data"]["top_skills"][0]["skill_name"], "s")


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
