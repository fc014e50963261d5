"""deploy/client.py, which deploy/run.sh tells newcomers to run."""
import asyncio
import sys

from harness import Case, main
from harness.config import ROOT
from harness.server import PATIENCE


class DeployClient(Case):
    async def line_with(self, process, text):
        while True:
            line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
            self.assertTrue(line, f"ended before it printed {text!r}")
            if text in line:
                return line

    async def test_it_prints_events_and_recovers_what_it_missed(self):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "deploy/client.py"), self.server.url(), "workflow:demo",
            "other:*", stdout=asyncio.subprocess.PIPE)
        try:
            await self.line_with(process, "subscribed to workflow:demo")
            await self.line_with(process, "subscribed to other:*")
            self.publish("workflow:demo", "workflow.started", {"n": 1})
            self.assertIn('{"n": 1}', await self.line_with(process, "workflow.started"))
            self.publish("other:x", "any.event", {"n": 2})
            await self.line_with(process, "any.event")
            before = self.server.workers()[0].pid
            self.server.kill(before)
            self.publish("workflow:demo", "workflow.missed", {"n": 3})
            await self.line_with(process, "not connected")
            await self.line_with(process, "workflow.missed")
        finally:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    main()
