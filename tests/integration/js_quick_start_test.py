"""The JavaScript of docs/clients.md that is not a page, run in Node as it stands there."""
import asyncio
import os
import pathlib
import tempfile

from harness import main, service, small_config
from harness.js_clients import NODE, DocumentCase, block, line
from harness.server import PATIENCE


class QuickStart(DocumentCase):
    @classmethod
    def config(cls):
        return small_config(service(status_requests=[{
            "request": "get_workflow_status", "argument": "workflow_id", "kind": "workflow",
            "events": [{"event": "workflow.started", "key": "$workflow_id",
                        "set": {"status": "running"}}]}]))

    async def run_node(self, program, meanwhile=None):
        """Runs a program, and meanwhile() beside it; returns the lines that it prints."""
        with tempfile.TemporaryDirectory(dir=NODE) as folder:
            path = pathlib.Path(folder) / "main.mjs"
            path.write_text(program)
            process = await asyncio.create_subprocess_exec(
                "node", path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env=os.environ)
            try:
                if meanwhile:
                    await meanwhile()
                out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        self.assertEqual((process.returncode, err.decode()), (0, ""))
        return out.decode().splitlines()

    async def test_the_loop_in_node(self):
        async def publish():
            await self.subscribed()
            await self.publish_numbers(1, 3)
            await asyncio.to_thread(self.publisher.publish, self.channel, "workflow.completed",
                                    {"workflow_id": "wf_1"})
        shown = await self.run_node(block(self.server, "js", "for await"), publish)
        self.assertEqual(shown, [line(1), line(2), line(3),
                                 'workflow.completed {"workflow_id":"wf_1"}'])

    async def test_the_other_blocks_in_node(self):
        client = f"new Client('{self.server.url()}', {{WebSocket}})"
        shown = await self.run_node(
            "import {Client} from 'fanwire-client';\nimport WebSocket from 'ws';\n"
            f"const client = {client};\n" + block(self.server, "js", "AbortController") +
            "console.log(pools.state);\nclient.disconnect();\n")
        self.assertEqual(shown, ["unsubscribed"])

        await self.publish_numbers(1, 1)

        async def complete():
            await self.subscribed()
            await asyncio.to_thread(self.publisher.publish, self.channel, "workflow.completed",
                                    {"workflow_id": "wf_1"})
        shown = await self.run_node(
            "import {Client} from 'fanwire-client';\nimport WebSocket from 'ws';\n"
            f"const client = {client};\n" + block(self.server, "js", "state: true") +
            "shown.on('event', () => client.disconnect());\n", complete)
        number = int(shown[0].split()[0])
        self.assertEqual(shown, [f"{number} the workflow is running",
                                 f"{number + 1} workflow.completed"])

        async def publish():
            await self.subscribed("global")
            await asyncio.to_thread(self.publisher.publish, "global", "workflow.failed", {"n": 1})
        shown = await self.run_node(
            "import WebSocket from 'ws';\n" + block(self.server, "js", "socket.onmessage") +
            "socket.addEventListener('message', ({data}) => {\n"
            "  if (JSON.parse(data).room === 'global') socket.close();\n});\n", publish)
        self.assertEqual(shown, ["workflow.failed { n: 1 }"])


if __name__ == "__main__":
    main()
