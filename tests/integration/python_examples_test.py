"""The examples of docs/examples/publish in Python do what they say."""
import asyncio
import os
import subprocess
import sys

from harness import Case, main, shipped_config
from harness.config import ROOT
from harness.server import PATIENCE

EXAMPLES = ROOT / "docs/examples/publish"


class Examples(Case):
    @classmethod
    def config(cls):
        return shipped_config()

    def start(self, name):
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "FANWIRE_SERVER": self.server.address})
        self.addCleanup(process.kill)
        return process

    async def communicate(self, process):
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: process.communicate(timeout=PATIENCE))

    async def test_each_is_a_screenful(self):
        for path in EXAMPLES.glob("*.py"):
            self.assertLessEqual(len(path.read_text().splitlines()), 55, path)

    async def test_the_service_that_moved(self):
        client = await self.connect()
        await client.subscribe("workflow:wf_example")
        process = self.start("moved_service.py")
        self.assertEqual([(await client.event())["event"] for _ in range(4)],
                         ["workflow.started", "workflow.stage_completed",
                          "workflow.stage_completed", "workflow.completed"])
        output, errors = await self.communicate(process)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertIn(f"'uri': '{self.server.url()}'", output)


if __name__ == "__main__":
    main()
