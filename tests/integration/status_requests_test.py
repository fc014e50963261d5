"""Status requests are answered from published events, with the shipped configuration."""
import datetime

from harness import Case, eventually, main, shipped_config, token
from harness.token import SECRET


class StatusRequests(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["keys"] = [{"secret": SECRET}]
        return config

    async def ask(self, name, request, **data):
        client = await self.connect(name)
        reply = await client.request(request, data)
        await client.close()
        return reply

    async def answer(self, name, request, **data):
        reply = await self.ask(name, request, **data)
        self.assertEqual(reply["type"], "response", reply)
        self.assertEqual(reply["event"], request)
        return reply["data"]

    def say(self, name, channel, event, **data):
        self.publish(channel, event, data, service=name)

    async def test_unknown_things(self):
        for name, request, argument, status in [
                ("mahavishnu", "get_workflow_status", "workflow_id", "not_found"),
                ("mahavishnu", "get_pool_status", "pool_id", "not_found"),
                ("crackerjack", "get_test_status", "run_id", "unknown"),
                ("dhruva", "get_adapter_status", "adapter_id", "not_found"),
                ("excalidraw", "get_diagram_status", "diagram_id", "not_found"),
                ("fastblocks", "get_component_status", "component_id", "not_found")]:
            with self.subTest(request=request):
                answer = await self.answer(name, request, **{argument: "nobody"})
                self.assertEqual(answer[argument], "nobody")
                self.assertEqual(answer["status"], status)

    async def test_unknown_components_and_states_have_the_time_of_the_answer(self):
        for request, argument, more in [("get_component_status", "component_id", {}),
                                        ("get_state", "state_path", {"value": None})]:
            answer = await self.answer("fastblocks", request, **{argument: "nobody"})
            time = datetime.datetime.fromisoformat(answer.pop("timestamp"))
            age = datetime.datetime.now(datetime.timezone.utc) - time
            self.assertLess(abs(age.total_seconds()), 60)
            self.assertEqual(answer, {argument: "nobody", "status": "not_found", **more})

    async def test_a_missing_argument(self):
        for name, request in [("mahavishnu", "get_workflow_status"),
                              ("mahavishnu", "get_pool_status"),
                              ("crackerjack", "get_test_status"),
                              ("crackerjack", "get_quality_gate"),
                              ("dhruva", "get_adapter_status"),
                              ("excalidraw", "get_diagram_status"),
                              ("fastblocks", "get_component_status"), ("fastblocks", "get_state")]:
            with self.subTest(request=request):
                reply = await self.ask(name, request)
                self.assertEqual(reply["error_code"], "INVALID_REQUEST")

    async def test_who_may_ask(self):
        for name, request, data, permission in [
                ("mahavishnu", "get_workflow_status", {"workflow_id": "w"}, "workflow:read"),
                ("mahavishnu", "get_pool_status", {"pool_id": "pool:p"}, "pool:read"),
                ("akosha", "get_patterns", {}, "akosha:read"),
                ("akosha", "get_anomalies", {}, "akosha:read"),
                ("crackerjack", "get_test_status", {"run_id": "r"}, "crackerjack:read"),
                ("crackerjack", "get_quality_gate", {"project": "p"}, "crackerjack:read"),
                ("dhruva", "get_adapter_status", {"adapter_id": "a"}, "dhara:read"),
                ("excalidraw", "get_diagram_status", {"diagram_id": "d"}, "excalidraw:read"),
                ("fastblocks", "get_component_status", {"component_id": "c"}, "fastblocks:read"),
                ("fastblocks", "get_state", {"state_path": "s"}, "fastblocks:read")]:
            for permissions, allowed in [([], False), (["other:read"], False),
                                         ([permission], True), ([f"{name}:admin"], True),
                                         (["admin"], True)]:
                with self.subTest(request=request, permissions=permissions):
                    client = await self.connect(name, path=f"/?token={token('u1', permissions)}")
                    reply = await client.request(request, data)
                    self.assertEqual(reply["type"], "response" if allowed else "error", reply)
                    if not allowed:
                        self.assertEqual(reply["error_code"], "FORBIDDEN")
                    await client.close()

    async def test_numbers_keep_every_digit(self):
        numbers = ["12345678901234567890123456789", "18446744073709551616", "1e400",
                   "0.1000000000000000000001", "-0", "1.0"]
        listed = "[" + ",".join(numbers) + "]"
        event = self.publisher.event("diagram:digits", "diagram.created", service="excalidraw")
        event.json = ('{"diagram_id":"digits","elements":%s}' % listed).encode()
        self.publisher.publish_batch([event])
        client = await self.connect("excalidraw")
        await client.send({"type": "request", "id": "1", "event": "get_diagram_status",
                           "data": {"diagram_id": "digits"}})
        self.assertIn(f'"elements":{listed}', await client.recv_text())
        await client.send('{"type":"request","event":"get_diagram_status",'
                          '"data":{"diagram_id": 12345678901234567890123456789}}')
        self.assertIn('"diagram_id":12345678901234567890123456789', await client.recv_text())

    async def test_numbers_keep_every_digit_in_lists_and_single_fields(self):
        for number in ["123456789012345678901234567890", "18446744073709551616"]:
            state = self.publisher.event("state", "state.changed", service="fastblocks")
            state.json = ('{"state_path":"n","new_value":%s}' % number).encode()
            pattern = self.publisher.event("patterns:digits", "pattern.detected", service="akosha")
            pattern.json = ('{"pattern_type":"digits","n":%s}' % number).encode()
            self.publisher.publish_batch([state, pattern])
            for name, request, data in [("fastblocks", "get_state", {"state_path": "n"}),
                                        ("akosha", "get_patterns", {"category": "digits"})]:
                client = await self.connect(name)
                await client.send({"type": "request", "id": "1", "event": request, "data": data})
                self.assertRegex(await client.recv_text(), f'"(value|n)": ?{number}[,}}]')

    async def test_another_services_request_is_unknown(self):
        reply = await self.ask("akosha", "get_workflow_status", workflow_id="w")
        self.assertEqual(reply["error_code"], "UNKNOWN_REQUEST")

    async def test_workflow(self):
        channel = "workflow:st1"
        self.say("mahavishnu", channel, "workflow.started", workflow_id="st1", prompt="do it")
        answer = await self.answer("mahavishnu", "get_workflow_status", workflow_id="st1")
        self.assertEqual((answer["status"], answer["stages_completed"]), ("running", 0))
        for stage in ("plan", "build"):
            self.say("mahavishnu", channel, "workflow.stage_completed", workflow_id="st1",
                     stage_name=stage, result={})
        answer = await self.answer("mahavishnu", "get_workflow_status", workflow_id="st1")
        self.assertEqual(answer["stages_completed"], 2)
        self.assertEqual(answer["workflow_id"], "st1")
        self.assertTrue(answer["started_at"])
        self.say("mahavishnu", channel, "workflow.completed", workflow_id="st1", result={"ok": 1})
        answer = await self.answer("mahavishnu", "get_workflow_status", workflow_id="st1")
        self.assertEqual(answer["status"], "completed")
        self.assertTrue(answer["completed_at"])

    async def test_failed_workflow(self):
        self.say("mahavishnu", "workflow:st2", "workflow.started", workflow_id="st2")
        self.say("mahavishnu", "workflow:st2", "workflow.failed", workflow_id="st2", error="boom")
        answer = await self.answer("mahavishnu", "get_workflow_status", workflow_id="st2")
        self.assertEqual((answer["status"], answer["error"]), ("failed", "boom"))

    async def test_pool(self):
        for event, data in [
                ("pool.spawned", {"config": {"pool_type": "local"}}),
                ("worker.added", {"worker_id": "k1"}), ("worker.added", {"worker_id": "k2"}),
                ("worker.status_changed", {"worker_id": "k1", "status": "busy"}),
                ("worker.removed", {"worker_id": "k2"}),
                ("pool.status_changed", {"status": {"queue_size": 3}})]:
            self.say("mahavishnu", "pool:sp1", event, pool_id="sp1", **data)
        answer = await self.answer("mahavishnu", "get_pool_status", pool_id="sp1")
        self.assertEqual(answer["pool_id"], "sp1")
        self.assertNotEqual(answer["status"], "not_found")
        self.assertEqual([(worker["worker_id"], worker["status"])
                          for worker in answer["workers"]], [("k1", "busy")])

    async def test_akosha_lists_are_newest_last_and_can_be_filtered(self):
        for number, kind in enumerate(["usage", "latency", "usage"]):
            self.say("akosha", f"patterns:{kind}", "pattern.detected", pattern_id=f"p{number}",
                     pattern_type=kind, confidence=0.5)
        answer = await self.answer("akosha", "get_patterns")
        self.assertEqual(answer["category"], "all")
        self.assertEqual(answer["count"], len(answer["patterns"]))
        self.assertEqual([p["pattern_id"] for p in answer["patterns"]][-3:], ["p0", "p1", "p2"])
        answer = await self.answer("akosha", "get_patterns", category="usage")
        self.assertEqual(answer["category"], "usage")
        self.assertEqual([p["pattern_id"] for p in answer["patterns"]], ["p0", "p2"])
        self.say("akosha", "anomalies", "anomaly.detected", anomaly_id="a1", severity="high")
        answer = await self.answer("akosha", "get_anomalies")
        self.assertEqual((answer["count"], answer["anomalies"][0]["anomaly_id"]), (1, "a1"))

    async def test_crackerjack(self):
        self.say("crackerjack", "test:r1", "test.started", run_id="r1", test_suite="s",
                 total_tests=10)
        answer = await self.answer("crackerjack", "get_test_status", run_id="r1")
        self.assertEqual(answer["status"], "running")
        self.say("crackerjack", "test:r1", "test.completed", run_id="r1", tests_completed=10,
                 tests_failed=0, duration_seconds=1.5)
        answer = await self.answer("crackerjack", "get_test_status", run_id="r1")
        self.assertEqual((answer["run_id"], answer["status"], answer["tests_completed"]),
                         ("r1", "completed", 10))
        self.say("crackerjack", "quality:proj", "quality_gate.checked", project="proj",
                 gate_name="all", status="passed", score=91, threshold=80)
        answer = await self.answer("crackerjack", "get_quality_gate", project="proj")
        self.assertEqual((answer["project"], answer["status"]), ("proj", "passed"))
        self.assertIsInstance(answer["gates"], list)

    async def test_the_others(self):
        self.say("dhruva", "adapter:ad1", "adapter.stored", adapter_id="ad1", version="2")
        answer = await self.answer("dhruva", "get_adapter_status", adapter_id="ad1")
        self.assertEqual(answer["status"], "found")
        self.assertEqual(answer["adapter"]["version"], "2")
        self.say("excalidraw", "diagram:di1", "diagram.created", diagram_id="di1", title="T")
        answer = await self.answer("excalidraw", "get_diagram_status", diagram_id="di1")
        self.assertEqual((answer["status"], answer["diagram"]["title"]), ("found", "T"))
        self.say("fastblocks", "component:co1", "component.rendered", component_id="co1", html="x")
        answer = await self.answer("fastblocks", "get_component_status", component_id="co1")
        self.assertEqual(answer["component_id"], "co1")
        self.assertNotEqual(answer["status"], "not_found")
        self.say("fastblocks", "state", "state.changed", state_path="a.b", new_value={"x": 1})
        answer = await self.answer("fastblocks", "get_state", state_path="a.b")
        self.assertEqual((answer["state_path"], answer["value"]), ("a.b", {"x": 1}))

    async def test_answers_survive_any_worker(self):
        """Control keeps the state, so the answer does not depend on the worker."""
        self.say("mahavishnu", "workflow:st3", "workflow.started", workflow_id="st3")
        before = self.server.workers()[0]
        self.server.kill(before.pid)
        await eventually(lambda: [worker for worker in self.server.ready_workers()
                                  if worker.pid != before.pid], "a new worker")
        answer = await self.answer("mahavishnu", "get_workflow_status", workflow_id="st3")
        self.assertEqual(answer["status"], "running")


if __name__ == "__main__":
    main()
