"""`wsctl mcp` with the official MCP clients in Node, and with the official conformance tests."""
import asyncio
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from harness import Case, main
from harness.server import PATIENCE

NODE = pathlib.Path(__file__).parent / "node"
NODE_VERSION = tuple(int(part) for part in subprocess.run(
    ["node", "--version"], capture_output=True, text=True,
    check=True).stdout.strip().lstrip("v").split("."))
# The scenarios that need neither the HTTP transport nor tools and resources made for the test.
SCENARIOS = ("server-initialize", "ping", "tools-list", "tools-call-error", "resources-list",
             "server-sse-multiple-streams")
TOOLS = ["websocket_health_check", "websocket_get_status", "websocket_list_rooms",
         "websocket_broadcast_test_event", "websocket_get_metrics", "list_services",
         "list_channels", "list_connections", "list_presence", "list_workers", "get_ledger",
         "engine_status", "get_catalog", "get_history", "tail_events", "publish_event",
         "drain_worker", "disconnect_clients"]


def needs_node(*version):
    wanted = ".".join(map(str, version))
    found = ".".join(map(str, NODE_VERSION))
    return unittest.skipIf(NODE_VERSION < version, f"needs Node {wanted}; this is {found}")


class McpClients(Case):
    def command(self):
        return self.server.wsctl_command("mcp", "--allow-write")

    async def node(self, *arguments):
        process = await asyncio.create_subprocess_exec(
            "node", *arguments, cwd=NODE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, limit=1 << 24, env=self.server.environment)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE * 4)
        self.assertEqual(process.returncode, 0, err.decode())
        self.assertEqual(err.decode(), "")
        return out.decode()

    async def tour(self, script, channel):
        """Returns what the client saw, after what is the same for both was checked."""
        subscriber = await self.connect()
        await subscriber.subscribe(channel)
        seen = json.loads(await self.node(script, channel, *self.command()))
        self.assertEqual([tool["name"] for tool in seen["tools"]], TOOLS)
        self.assertTrue(all(tool["outputSchema"]["type"] == "object" for tool in seen["tools"]))
        results = seen["results"]
        self.assertEqual(results["websocket_health_check"]["status"], "healthy")
        self.assertEqual(results["websocket_list_rooms"],
                         {"rooms": {channel: {"subscribers": 1}}, "total_rooms": 1})
        self.assertEqual(results["websocket_broadcast_test_event"]["subscribers"], 1)
        self.assertEqual(results["list_connections"]["connections"][0]["channels"], [channel])
        self.assertEqual(results["get_history"]["publications"][0]["envelope"]["data"]["n"], 1)
        self.assertEqual(results["publish_event"]["level"], "accepted")
        self.assertEqual(results["tail_events"]["publications"][0]["channel"], channel)
        self.assertEqual(results["tail_events"]["ended_by"], "limit")
        self.assertEqual(results["disconnect_clients"]["disconnected"], 0)
        self.assertEqual(seen["cancelled"], "rejected")
        self.assertEqual(seen["wrong"]["content"][0]["text"],
                         "INVALID_ARGUMENT: channel is missing")
        self.assertEqual(seen["unknown"]["content"][0]["text"], "Unknown tool: 'nope'")
        self.assertIn("last worker", seen["drain"]["content"][0]["text"])
        self.assertIn("fanwire://docs/cli.md", [entry["uri"] for entry in seen["resources"]])
        self.assertEqual(seen["document"], "# wsctl")
        self.assertIn("workflow.started",
                      [entry["event"] for entry in results["get_catalog"]["events"]])
        self.assertEqual(seen["templates"][0]["uriTemplate"], "fanwire://catalog/{service}")
        self.assertIn("$defs", json.loads(seen["catalog"]["text"]))
        self.assertEqual(seen["server"]["name"], "fanwire")
        return seen

    async def test_the_client_of_the_handshake(self):
        seen = await self.tour("mcp_client_1.mjs", "mcp:one")
        self.assertEqual(seen["missing"], -32002)

    @needs_node(20)
    async def test_the_stateless_client(self):
        seen = await self.tour("mcp_client_2.mjs", "mcp:two")
        self.assertEqual(seen["version"], "2026-07-28")
        self.assertEqual(seen["missing"], -32602)

    @needs_node(20, 18, 1)
    async def test_conformance(self):
        bridge = await asyncio.create_subprocess_exec(
            "node", "mcp_http.mjs", *self.command(), cwd=NODE, stdout=asyncio.subprocess.PIPE,
            env=self.server.environment)
        try:
            url = (await bridge.stdout.readline()).decode().strip()
            tests = NODE / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
            with tempfile.TemporaryDirectory(prefix="fanwire-", dir="/tmp") as directory:
                for scenario in SCENARIOS:
                    with self.subTest(scenario):
                        done = await asyncio.create_subprocess_exec(
                            "node", str(tests), "server", "--url", url, "--scenario", scenario,
                            cwd=directory, stdout=asyncio.subprocess.PIPE,
                            stderr=asyncio.subprocess.STDOUT, env=os.environ)
                        out, _ = await asyncio.wait_for(done.communicate(), PATIENCE * 2)
                        self.assertEqual(done.returncode, 0, out.decode())
                        self.assertIn("0 failed", out.decode())
        finally:
            bridge.terminate()
            await bridge.wait()


if __name__ == "__main__":
    main()
