"""Code in the style of mahavishnu, akosha and crackerjack, written for their own WebSocket servers,
runs with Fanwire when its imports are changed, and nothing else."""
import asyncio
import logging
import os
import types

from harness import Case, main, shipped_config
from harness.server import PATIENCE

IMPORTS = {
    "from mahavishnu.websocket.integration import": "from fanwire.broadcaster import",
    "from mahavishnu.pools.websocket import": "from fanwire.pools_broadcaster import",
    "from akosha.websocket import": "from fanwire.broadcaster import",
    "from crackerjack.websocket import": "from fanwire.broadcaster import",
}

MAHAVISHNU = '''
from mahavishnu.websocket.integration import (
    WebSocketBroadcaster,
    broadcast_pool_event,
    broadcast_workflow_event,
    get_websocket_status,
    start_websocket_server,
    stop_websocket_server,
)
from mahavishnu.pools.websocket import create_broadcaster


class Orchestrator:
    def __init__(self, settings):
        self.settings = settings
        self.pool_manager = object()
        self.websocket_server = None

    async def start(self):
        self.websocket_server = await start_websocket_server(
            pool_manager=self.pool_manager,
            settings=self.settings,
        )
        if self.websocket_server is None:
            print("continuing without WebSocket updates")
        self.broadcaster = WebSocketBroadcaster(self.websocket_server)
        self.pools = create_broadcaster(self.websocket_server, buffer_enabled=True)

    async def run_workflow(self, workflow_id, prompt, stages):
        await self.broadcaster.workflow_started(
            workflow_id, {"prompt": prompt, "adapter": "llamaindex"})
        try:
            for stage in stages:
                result = await stage()
                await self.broadcaster.workflow_stage_completed(
                    workflow_id, stage.__name__, result)
        except Exception as e:
            await self.broadcaster.workflow_failed(workflow_id, str(e))
            return False
        return await broadcast_workflow_event(
            self.websocket_server, "completed", workflow_id, {"stages": len(stages)})

    async def run_pool(self, pool_id):
        await self.pools.broadcast_pool_spawned(pool_id, {"pool_type": "mahavishnu"})
        await self.pools.broadcast_worker_added(pool_id, "worker_1")
        await self.pools.broadcast_worker_status_changed(pool_id, "worker_1", "busy")
        await broadcast_pool_event(
            self.websocket_server, "worker_status_changed", pool_id,
            {"worker_id": "worker_1", "status": "idle"})
        return await self.broadcaster.pool_status_changed(
            pool_id, {"active_workers": 0, "idle_workers": 1, "queue_size": 0})

    def status(self):
        return get_websocket_status(self.websocket_server)

    async def stop(self):
        await stop_websocket_server(self.websocket_server)
'''

AKOSHA = '''
from akosha.websocket import AkoshaWebSocketServer


class Analytics:
    def __init__(self):
        self.server = AkoshaWebSocketServer(analytics_engine=self, host="127.0.0.1", port=8692)

    async def __aenter__(self):
        await self.server.start()
        return self

    async def __aexit__(self, *args):
        await self.server.stop()

    async def analyse(self, samples):
        await self.server.broadcast_pattern_detected(
            pattern_id="pat_1",
            pattern_type="latency",
            description="repeats every 5 min",
            confidence=0.93,
            metadata={"period_minutes": 5},
        )
        worst = max(samples)
        if worst > 100:
            await self.server.broadcast_anomaly_detected(
                "ano_1", "spike", "high", "above its usual range", {"value": worst})
        await self.server.broadcast_insight_generated(
            "ins_1", "recommendation", "Look at latency", "Two services", {"services": ["a"]})
        await self.server.broadcast_aggregation_completed(
            "agg_1", "hourly", len(samples), {"max": worst})
'''

CRACKERJACK = '''
from crackerjack.websocket import CrackerjackWebSocketServer


async def run_tests(qc_manager, run_id, cases):
    server = CrackerjackWebSocketServer(qc_manager)
    await server.start()
    assert server.is_running and server.uri.startswith("ws://")
    await server.broadcast_test_started(run_id, "unit", total_tests=len(cases))
    failed = 0
    for case in cases:
        try:
            case()
        except AssertionError as e:
            failed += 1
            await server.broadcast_test_failed(run_id, case.__name__, str(e), "line 1")
    await server.broadcast_test_completed(run_id, len(cases), failed, 0.5)
    await server.broadcast_quality_gate_checked(
        "crackerjack", "tests", "failed" if failed else "passed", 50.0, 80.0)
    await server.broadcast_coverage_updated("crackerjack", 84.2, 71.0, 60.5)
    await server.stop()
'''


def moved(code):
    """Runs a module with its imports changed; returns its names."""
    for old, new in IMPORTS.items():
        code = code.replace(old, new)
    names = {}
    exec(compile(code, "moved", "exec"), names)
    return names


class Moved(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["catalog_check"] = "enforce"
        return config

    def setUp(self):
        os.environ["FANWIRE_SERVER"] = self.server.address
        self.addCleanup(os.environ.pop, "FANWIRE_SERVER")

    async def subscribe(self, service, *channels):
        client = await self.connect(service)
        for channel in channels:
            await client.subscribe(channel)
        return client

    async def test_mahavishnu(self):
        client = await self.subscribe("mahavishnu", "workflow:wf_1", "workflow:wf_2", "pool:p")
        app = moved(MAHAVISHNU)["Orchestrator"](types.SimpleNamespace(websocket_enabled=True))
        await app.start()

        async def plan():
            return {"ok": True}

        async def burn():
            raise RuntimeError("out of fuel")
        self.assertTrue(await app.run_workflow("wf_1", "do it", [plan]))
        self.assertFalse(await app.run_workflow("wf_2", "do it", [burn]))
        self.assertTrue(await app.run_pool("p"))
        status = app.status()
        self.assertEqual((status["status"], status["uri"]),
                         ("running", self.server.url("mahavishnu")))
        got = [await client.event() for _ in range(10)]
        for frame in got:
            self.assertRegex(frame["data"].pop("timestamp"), r"\+00:00$")
        self.assertEqual([(frame["room"], frame["event"], frame["data"]) for frame in got], [
            ("workflow:wf_1", "workflow.started",
             {"workflow_id": "wf_1", "prompt": "do it", "adapter": "llamaindex"}),
            ("workflow:wf_1", "workflow.stage_completed",
             {"workflow_id": "wf_1", "stage_name": "plan", "result": {"ok": True}}),
            ("workflow:wf_1", "workflow.completed",
             {"workflow_id": "wf_1", "result": {"stages": 1}}),
            ("workflow:wf_2", "workflow.started",
             {"workflow_id": "wf_2", "prompt": "do it", "adapter": "llamaindex"}),
            ("workflow:wf_2", "workflow.failed", {"workflow_id": "wf_2", "error": "out of fuel"}),
            ("pool:p", "pool.spawned", {"pool_id": "p", "config": {"pool_type": "mahavishnu"}}),
            ("pool:p", "worker.added", {"pool_id": "p", "worker_id": "worker_1"}),
            ("pool:p", "worker.status_changed",
             {"pool_id": "p", "worker_id": "worker_1", "status": "busy"}),
            ("pool:p", "worker.status_changed",
             {"worker_id": "worker_1", "status": "idle", "pool_id": "p"}),
            ("pool:p", "pool.status_changed",
             {"pool_id": "p", "status": {"active_workers": 0, "idle_workers": 1,
                                         "queue_size": 0}})])
        await app.stop()
        self.assertEqual(app.status()["status"], "stopped")

    async def test_mahavishnu_without_a_server(self):
        app = moved(MAHAVISHNU)["Orchestrator"](types.SimpleNamespace(websocket_enabled=False))
        await app.start()
        self.assertFalse(await app.run_workflow("wf_1", "do it", []))
        self.assertFalse(await app.run_pool("p"))
        self.assertEqual(app.status()["status"], "not_initialized")
        await app.stop()

    async def test_akosha(self):
        client = await self.subscribe("akosha", "patterns:latency", "anomalies", "insights",
                                      "metrics")
        async with moved(AKOSHA)["Analytics"]() as analytics:
            await analytics.analyse([5, 500])
            got = [await client.event() for _ in range(4)]
        self.assertEqual([(frame["room"], frame["event"]) for frame in got],
                         [("patterns:latency", "pattern.detected"),
                          ("anomalies", "anomaly.detected"), ("insights", "insight.generated"),
                          ("metrics", "aggregation.completed")])
        self.assertEqual(got[0]["data"]["period_minutes"], 5)
        self.assertEqual(got[2]["data"]["data"], {"services": ["a"]})

    async def test_crackerjack(self):
        client = await self.subscribe("crackerjack", "test:run_1", "quality:crackerjack")

        def good():
            pass

        def bad():
            assert False, "3 == 4"
        run_tests = moved(CRACKERJACK)["run_tests"]
        await asyncio.wait_for(run_tests(None, "run_1", [good, bad]), PATIENCE)
        got = [await client.event() for _ in range(5)]
        self.assertEqual([frame["event"] for frame in got],
                         ["test.started", "test.failed", "test.completed", "quality_gate.checked",
                          "coverage.updated"])
        self.assertEqual((got[1]["data"]["test_name"], got[1]["data"]["error"]), ("bad", "3 == 4"))
        self.assertFalse(got[3]["data"]["quality_gate_report"]["passed"])


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()
