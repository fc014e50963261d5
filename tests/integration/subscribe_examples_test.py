"""The examples of docs/examples/subscribe do what they say, beside the events of deploy/demo.py, and as
docs/examples/README.md says.

All of them run from the beginning against one server; each test looks at one and ends it.
monitor.py has a test of its own in python_examples_test.
"""
import asyncio
import collections
import datetime
import fcntl
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading

import yaml
from fanwire.v1 import admin_pb2
from harness import Case, main, shipped_config
from harness.config import ROOT, SHIPPED
from harness.js_clients import NODE
from harness.server import PATIENCE

FOLDER = ROOT / "docs/examples/subscribe"
SERVICES = ["mahavishnu", "akosha", "crackerjack", "session-buddy", "dhruva", "excalidraw",
            "fastblocks"]
# Each example's services, and the channels that it subscribes to.
EXAMPLES = {
    "monitor.mjs": (["mahavishnu"], ["global"]),
    "pools.py": (["mahavishnu"], ["pool:*"]),
    "insights.py": (["akosha"], ["anomalies", "insights", "patterns:*"]),
    "quality.py": (["crackerjack"], ["quality:*", "test:*"]),
    "adapters.py": (["dhruva"], ["adapter:*", "distribution", "lifecycle", "registry"]),
    "ui.mjs": (["fastblocks"], ["component:*", "page:*", "render", "state", "ui:*"]),
    "dashboard.py": (SERVICES, ["**"]),
}


class Example:
    """A running example, and the words of each line that it has printed."""

    def __init__(self, command, terminal):
        self._lines, self._errors = [], []
        self._changed = threading.Condition()
        self._terminal = None
        if terminal:
            self._terminal, inside = pty.openpty()
            self.process = subprocess.Popen(
                command, stdin=inside, stdout=inside, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            os.close(inside)
            output = os.fdopen(self._terminal, closefd=False)
        else:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True)
            output = self.process.stdout
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((output, self._lines), (self.process.stderr, self._errors))]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines):
        try:
            for line in stream:
                with self._changed:
                    lines.append(line.split())
                    self._changed.notify_all()
        except OSError:
            pass  # so ends a terminal

    def until(self, condition, what):
        """Waits until the words of a line fulfil the condition."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(map(condition, self._lines)), PATIENCE * 2):
                last = "\n".join(map(" ".join, [*self._lines[-30:], *self._errors[-30:]]))
                raise AssertionError(f"not shown: {what}; but\n{last}")

    async def shows(self, *lines):
        """Waits until each of these lines, which may be the end of a longer one, has come."""
        for line in lines:
            words = line.split()
            await asyncio.to_thread(self.until, lambda got: got[-len(words):] == words, line)

    async def end(self):
        """Presses Ctrl-C; returns the exit code and the lines of stderr."""
        if self._terminal is None:
            self.process.send_signal(signal.SIGINT)
        else:
            os.write(self._terminal, b"\x03")
        code = await asyncio.to_thread(self.process.wait, PATIENCE)
        self.close()
        return code, list(map(" ".join, self._errors))

    def close(self):
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None


class SubscribeExamples(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["catalog_check"] = "enforce"
            if entry["name"] == "fastblocks":
                entry["channels"] = [{"pattern": "state", "history_size": 1}]
        return config

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.start_all()
        except BaseException:
            super().tearDownClass()
            raise

    @classmethod
    def start_all(cls):
        # Node looks for the packages in the program's folder and above it.
        cls.folder = pathlib.Path(tempfile.mkdtemp(dir=NODE))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for program in FOLDER.glob("*.mjs"):
            shutil.copy(program, cls.folder)
        cls.positions = cls.folder / "positions"
        # Published before the examples start.
        cls.tell("anomalies", "anomaly.detected", "akosha", anomaly_id="a", anomaly_type="spike",
                 severity="high", description="an old spike", metrics={"value": 7})
        cls.running = {}
        for name in EXAMPLES:
            cls.start(name)
        cls.server.wait(cls.subscribed, "the examples' subscriptions")
        demo = subprocess.Popen([sys.executable, str(ROOT / "deploy/demo.py")],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                env={**os.environ, "FANWIRE_SERVER": cls.server.address})
        cls.addClassCleanup(demo.wait)
        cls.addClassCleanup(demo.kill)

    @classmethod
    def command(cls, name):
        if name.endswith(".mjs"):
            return ["node", str(cls.folder / name)]
        return [sys.executable, str(FOLDER / name)]

    @classmethod
    def start(cls, name):
        urls = [cls.server.url(service, 1 if service == "session-buddy" else 0)
                for service in EXAMPLES[name][0]]
        options = ["--positions", str(cls.positions)] if name == "adapters.py" else []
        example = Example([*cls.command(name), *urls, *options], name == "dashboard.py")
        cls.addClassCleanup(example.close)
        cls.running[name] = example
        return example

    @classmethod
    def subscribed(cls):
        """Whether the server has the subscriptions of all examples that run."""
        wanted = collections.Counter(
            (service, channel) for name, (services, channels) in EXAMPLES.items()
            if name in cls.running for service in services for channel in channels)
        answer = json.loads(cls.server.admin.ListRooms(admin_pb2.ToolRequest(), timeout=5).json)
        has = {(service, channel): room["subscribers"]
               for service, rooms in answer["services"].items()
               for channel, room in rooms["rooms"].items()}
        return all(has.get(each, 0) >= count for each, count in wanted.items())

    @classmethod
    def tell(cls, channel, event, service="mahavishnu", **data):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        cls.publish(channel, event, {**data, "timestamp": now}, service)

    async def told(self, *event, **data):
        await asyncio.to_thread(self.tell, *event, **data)

    async def ready(self, name):
        await asyncio.to_thread(self.server.wait, self.subscribed, "the examples' subscriptions")
        return self.running[name]

    def kill_worker(self):
        self.server.kill(self.server.workers()[0].pid)

    async def assert_ends(self, name):
        """Ctrl-C ends an example, and it has complained about nothing but lost connections."""
        code, errors = await self.running.pop(name).end()
        self.assertEqual(code, 0, errors)
        self.assertEqual([line for line in errors if not line.endswith("; connecting again")], [])

    async def test_default_ports_are_the_demos(self):
        ports = {}
        for entry in yaml.safe_load(SHIPPED.read_text())["services"]:
            common = [one for one in entry.get("listeners", [entry]) if "dialect" not in one]
            ports[entry["name"]] = common[0]["port"]
        for name, (services, _) in {**EXAMPLES, "monitor.py": EXAMPLES["monitor.mjs"]}.items():
            for service in services:
                self.assertRegex((FOLDER / name).read_text(), rf"\b{ports[service]}\b", name)

    async def test_help(self):
        async def help_of(name):
            process = await asyncio.create_subprocess_exec(
                *self.command(name), "--help", stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE)
            out, err = await process.communicate()
            self.assertEqual((process.returncode, err.decode()), (0, ""), name)
            self.assertRegex(out.decode(), "(?i)^usage: " + name, name)
            self.assertIn("docs/examples/subscribe/" + name, out.decode())
        await asyncio.gather(*map(help_of, ["monitor.py", *EXAMPLES]))

    async def test_the_monitor_in_node(self):
        example = await self.ready("monitor.mjs")
        await self.told("workflow:wf_7", "workflow.started", workflow_id="wf_7")
        await self.told("workflow:wf_8", "workflow.started", workflow_id="wf_8")
        await example.shows("wf_7 running", "wf_8 running")
        # What happens while the connection is lost is shown when it is back.
        self.kill_worker()
        await self.told("workflow:wf_7", "workflow.stage_completed", workflow_id="wf_7",
                        stage_name="plan", result={})
        await self.told("workflow:wf_7", "workflow.completed", workflow_id="wf_7", result={})
        await example.shows("wf_7 running plan", "wf_7 completed")
        # A control that restarts knows nothing any more.
        self.server.kill()
        await asyncio.to_thread(self.server.start)
        await example.shows("wf_8 not_found events are missing: epoch_changed")
        await self.told("workflow:wf_8", "workflow.failed", workflow_id="wf_8", error="no tokens")
        await example.shows("wf_8 failed no tokens")
        await self.assert_ends("monitor.mjs")

    async def test_the_monitor_of_pools(self):
        example = await self.ready("pools.py")

        async def tell(event, **data):
            await self.told("pool:pool_7", event, pool_id="pool_7", **data)
        await tell("pool.spawned", config={})
        await example.shows("pool:pool_7 0 of 0 busy, 0 tasks done channel.state")
        await tell("worker.added", worker_id="w1")
        await tell("worker.added", worker_id="w2")
        await tell("worker.status_changed", worker_id="w2", status="busy")
        await example.shows("pool:pool_7 . 0 of 1 busy, 0 tasks done w1",
                            "pool:pool_7 .. 0 of 2 busy, 0 tasks done w2",
                            "pool:pool_7 .# 1 of 2 busy, 0 tasks done w2")
        # Tasks that are done while the connection is lost are counted.
        self.kill_worker()
        for task in range(3):
            await tell("task.completed", worker_id="w2", task_id=f"t{task}", result={})
        await tell("worker.status_changed", worker_id="w1", status="error")
        await tell("worker.removed", worker_id="w1")
        await example.shows("pool:pool_7 !# 1 of 2 busy, 3 tasks done w1",
                            "pool:pool_7 # 1 of 1 busy, 3 tasks done w1")
        await self.assert_ends("pools.py")
        # Started again, it begins with the state.
        self.start("pools.py")
        example = await self.ready("pools.py")
        await tell("task.completed", worker_id="w2", task_id="t3", result={})
        await example.shows("pool:pool_7 # 1 of 1 busy, 4 tasks done channel.state")
        await tell("pool.closed")
        await example.shows("pool:pool_7 0 of 0 busy, 0 tasks done pool.closed")
        await self.assert_ends("pools.py")

    async def test_the_feed_of_insights(self):
        example = await self.ready("insights.py")
        await example.shows("ANOMALY high: an old spike (value 7)")
        await self.told("anomalies", "anomaly.detected", "akosha", anomaly_id="b",
                        anomaly_type="drop", severity="low", description="a new drop",
                        metrics={"value": 1, "expected": 9})
        await self.told("patterns:usage", "pattern.detected", "akosha", pattern_id="p",
                        pattern_type="usage", description="each night", confidence=0.87)
        await self.told("insights", "insight.generated", "akosha", insight_id="i",
                        insight_type="hint", title="Nights", description="sleep", data={})
        await example.shows("ANOMALY low: a new drop (value 1, expected 9)",
                            "pattern each night (87% sure)", "insight Nights: sleep")
        await self.assert_ends("insights.py")

    async def test_the_monitor_of_tests_and_quality(self):
        example = await self.ready("quality.py")
        await self.told("test:run_7", "test.started", "crackerjack", run_id="run_7",
                        test_suite="unit", total_tests=9)
        await self.told("test:run_7", "test.failed", "crackerjack", run_id="run_7",
                        test_name="test_a", error="1 != 2", traceback="")
        await self.told("quality:ana", "quality_gate.checked", "crackerjack", project="ana",
                        gate_name="lint", status="passed", score=93.5, threshold=80)
        await self.told("quality:ana", "coverage.updated", "crackerjack", project="ana",
                        line_coverage=81.5, branch_coverage=70, path_coverage=60)
        await example.shows("started run_7 unit, 9 tests", "failure run_7 test_a: 1 != 2",
                            "gate ana lint passed, score 93.5", "coverage ana 81.5 % of lines")
        # The end of a run comes while the connection is lost.
        self.kill_worker()
        await self.told("test:run_7", "test.completed", "crackerjack", run_id="run_7",
                        tests_completed=9, tests_failed=1, duration_seconds=3)
        await example.shows("completed run_7 1 of 9 failed")
        await self.assert_ends("quality.py")

    async def test_the_feed_of_adapters(self):
        example = await self.ready("adapters.py")
        await self.told("adapter:cache", "adapter.stored", "dhruva", adapter_id="cache")
        await self.told("adapter:cache", "adapter.activated", "dhruva", adapter_id="cache",
                        repo="ana", version="1", config={})
        await self.told("registry", "registry.updated", "dhruva", version=7001, added=["cache"],
                        removed=[], updated=[])
        await example.shows("cache is stored", "ana uses cache", "the registry has version 7001")
        await self.assert_ends("adapters.py")
        # What happens until it is started again is not missing.
        await self.told("registry", "registry.updated", "dhruva", version=7002, added=[],
                        removed=["cache"], updated=[])
        example = self.start("adapters.py")
        await example.shows("the registry has version 7002")
        await self.assert_ends("adapters.py")

    async def test_the_stream_of_the_user_interface(self):
        example = await self.ready("ui.mjs")

        async def tell(channel, event, **data):
            await self.told(channel, event, "fastblocks", **data)
        await tell("component:c7", "component.mounted", component_id="c7", page_id="page_7")
        await tell("component:c7", "component.rendered", component_id="c7", html="<b>7 orders</b>")
        await tell("ui:c7", "ui.updated", component_id="c7", changes={"rows": 2})
        await tell("page:page_7", "page.rendered", page_id="page_7", duration_ms=12)
        await tell("render", "render.failed", component_id="c7", error="no template")
        await tell("component:c7", "component.unmounted", component_id="c7")
        await tell("state", "state.changed", state_path="cart.total", new_value=0)
        await example.shows("c7 mounted in page_7", "c7 <b>7 orders</b>", 'c7 {"rows":2}',
                            "page_7 rendered in 12 ms", "c7 cannot be rendered: no template",
                            "c7 unmounted", "state cart.total = 0")
        # The history is too short for what comes while the connection is lost.
        self.kill_worker()
        for value in range(1, 4):
            await tell("state", "state.changed", state_path="cart.total", new_value=value)
        await tell("state", "state.changed", state_path="cart.items", new_value=1)
        await example.shows("state cart.total = 3")
        await self.assert_ends("ui.mjs")

    async def test_the_dashboard_in_a_terminal(self):
        example = await self.ready("dashboard.py")
        for service in SERVICES:  # the demo publishes events of all of them
            await asyncio.to_thread(
                example.until, lambda words: service in words and any(
                    int(word) > 0 for word in words if word.isdigit()), service)
        await self.assert_ends("dashboard.py")


if __name__ == "__main__":
    main()
