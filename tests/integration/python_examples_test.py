"""The examples of docs/examples in Python do what they say; see also subscribe_examples_test."""
import asyncio
import os
import signal
import subprocess
import sys

from harness import Case, main, shipped_config
from harness.config import ROOT
from harness.server import PATIENCE

EXAMPLES = ROOT / "docs/examples"


class Examples(Case):
    @classmethod
    def config(cls):
        return shipped_config()

    def start(self, name, *arguments):
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "FANWIRE_SERVER": self.server.address})
        self.addCleanup(process.kill)
        return process

    async def communicate(self, process):
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: process.communicate(timeout=PATIENCE))

    async def test_each_is_a_screenful(self):
        for path in EXAMPLES.glob("*/*.*"):
            self.assertLessEqual(len(path.read_text().splitlines()), 55, path)

    async def test_the_table_has_each(self):
        text = (EXAMPLES / "README.md").read_text()
        for path in EXAMPLES.glob("*/*"):
            self.assertIn(f"`{path.relative_to(EXAMPLES)}`", text)

    async def test_the_service_that_moved(self):
        client = await self.connect()
        await client.subscribe("workflow:wf_example")
        process = self.start("publish/moved_service.py")
        self.assertEqual([(await client.event())["event"] for _ in range(4)],
                         ["workflow.started", "workflow.stage_completed",
                          "workflow.stage_completed", "workflow.completed"])
        output, errors = await self.communicate(process)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertIn(f"'uri': '{self.server.url()}'", output)

    async def test_the_service_that_serves_a_request(self):
        client = await self.connect("fastblocks")
        await client.subscribe("state")
        process = self.start("publish/serve_request.py")
        first = (await client.event("state.changed"))["data"]
        self.assertEqual(first["new_value"], 1)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:  # the example publishes and begins to serve at the same time
            reply = await client.request("get_state", {"state_path": "no.such"})
            if reply["type"] == "error":
                break
            self.assertLess(asyncio.get_running_loop().time(), deadline, reply)
            await asyncio.sleep(0.05)
        self.assertEqual((reply["error_code"], reply["error_message"]),
                         ("NOT_FOUND", "no state no.such"))
        reply = await client.request("get_state", {"state_path": "cart.items"})
        self.assertEqual(reply["data"]["state_path"], "cart.items")
        self.assertGreaterEqual(reply["data"]["value"], 1)
        process.send_signal(signal.SIGINT)
        _, errors = await self.communicate(process)
        self.assertEqual((process.returncode, errors), (0, ""))

    async def test_the_monitor_of_workflows(self):
        loop = asyncio.get_running_loop()
        url = self.server.url()
        process = self.start("subscribe/monitor.py", url)

        async def lines(*wanted):
            for line in wanted:
                got = await loop.run_in_executor(None, process.stdout.readline)
                self.assertEqual(got.split(), line.split(), got)

        async def tell(event, **data):
            await loop.run_in_executor(None, lambda: self.publish(
                "workflow:wf_7", event, {"workflow_id": "wf_7", **data}))

        def watched():
            rooms = self.server.wsctl_json("list-rooms", "--service", "mahavishnu")["rooms"]
            return "global" in rooms
        await lines(f"{url} connecting", f"{url} connected")
        await loop.run_in_executor(None, self.server.wait, watched, "the subscription")
        await tell("workflow.started")
        await tell("workflow.stage_completed", stage_name="plan")
        await lines("wf_7 running", "wf_7 running plan")
        # What happens while the connection is lost is shown when it is back.
        self.server.kill(self.server.workers()[0].pid)
        await tell("workflow.stage_completed", stage_name="write")
        await lines(f"{url} connecting", f"{url} connected", "wf_7 running write")
        # A control that restarts knows nothing any more.
        self.server.kill()
        await loop.run_in_executor(None, self.server.start)
        await lines("wf_7 not_found events are missing: epoch_changed")
        await tell("workflow.failed", error="out of tokens")
        await lines("wf_7 failed out of tokens")
        process.send_signal(signal.SIGINT)
        _, errors = await self.communicate(process)
        self.assertEqual((process.returncode, errors), (0, ""))


if __name__ == "__main__":
    main()
