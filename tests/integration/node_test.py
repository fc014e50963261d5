"""Clients in Node: a subscriber on `ws`, a publisher on @grpc/grpc-js over server reflection."""
import asyncio
import json
import os
import pathlib

from harness import Case, main

NODE = pathlib.Path(__file__).parent / "node"
COUNT = 200


class Node(Case):
    async def run_node(self, *arguments):
        return await asyncio.create_subprocess_exec(
            "node", *arguments, cwd=NODE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, limit=1 << 22, env=os.environ)

    async def test_subscriber(self):
        process = await self.run_node("subscriber.js", self.server.url(), "node:sub", str(COUNT))
        welcome = json.loads(await process.stdout.readline())
        self.assertEqual(welcome["event"], "session.created")
        confirmation = json.loads(await process.stdout.readline())
        self.assertEqual((confirmation["correlation_id"], confirmation["data"]["status"]),
                         ("js-1", "subscribed"))
        await asyncio.to_thread(self.publisher.publish_many, "node:sub", COUNT)
        out, err = await process.communicate()
        frames = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([frame["data"]["n"] for frame in frames], list(range(1, COUNT + 1)))
        self.assertEqual([frame["offset"] for frame in frames], list(range(1, COUNT + 1)))
        self.assertIn("closed 1000", err.decode())
        self.assertEqual(process.returncode, 0)

    async def test_publisher_over_reflection(self):
        client = await self.connect()
        await client.subscribe("node:unary")
        await client.subscribe("node:stream")
        process = await self.run_node("publisher.js", self.server.tcp_address, str(COUNT))
        out, err = await process.communicate()
        self.assertEqual(process.returncode, 0, err.decode())
        answer = json.loads(out)
        for name in ("fanwire.v1.Publisher", "fanwire.v1.Admin", "fanwire.v1.Workers",
                     "grpc.health.v1.Health"):
            self.assertIn(name, answer["services"])
        expected = list(range(1, COUNT + 1))
        self.assertEqual(answer["unary"], expected)
        self.assertEqual(answer["streamed"], expected)
        self.assertEqual(answer["refusal"], 3)  # INVALID_ARGUMENT
        frames = await client.events(2 * COUNT)
        for channel in ("node:unary", "node:stream"):
            self.assertEqual([frame["data"]["n"] for frame in frames if frame["room"] == channel],
                             expected)


if __name__ == "__main__":
    main()
