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
            self.publish("other:\u202egpj", "any.event", {"n": 2})
            self.assertIn("other:\\u202egpj", await self.line_with(process, "any.event"))
            before = self.server.workers()[0].pid
            self.server.kill(before)
            self.publish("workflow:demo", "workflow.missed", {"n": 3})
            await self.line_with(process, "not connected")
            await self.line_with(process, "workflow.missed")
        finally:
            process.terminate()
            await process.wait()

    async def test_it_ends_quietly_when_its_reader_does(self):
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", 'set -o pipefail; "$0" "$1" "$2" reader:gone | head -n 1', sys.executable,
            str(ROOT / "deploy/client.py"), self.server.url(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        self.assertIn(b"connected to", out)
        self.assertEqual((process.returncode, err), (0, b""))

    async def test_it_does_not_wait_for_an_event_to_notice_that(self):
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", 'set -o pipefail; "$0" "$1" "$2" no:events | grep -m 1 subscribed',
            sys.executable, str(ROOT / "deploy/client.py"), self.server.url(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        self.assertEqual((process.returncode, out, err), (0, b"subscribed to no:events\n", b""))

    async def test_output_that_cannot_be_written_is_one_line_on_stderr(self):
        for redirection, error in [(">/dev/full", b"cannot write the output: No space left on device\n"),
                                   (">&-", b"standard output is closed\n")]:
            process = await asyncio.create_subprocess_exec(
                "bash", "-c", f'"$0" "$1" "$2" {redirection}', sys.executable,
                str(ROOT / "deploy/client.py"), self.server.url(),
                stderr=asyncio.subprocess.PIPE)
            _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
            self.assertEqual((process.returncode, err), (1, error))

    async def test_help_is_a_result(self):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "deploy/client.py"), "--help",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        self.assertIn(b"deploy/client.py [URL [CHANNEL...]]", out)
        self.assertEqual((process.returncode, err), (0, b""))


if __name__ == "__main__":
    main()
