"""Node processes with clients of fanwire-client, the base of the tests that use them, and the
document's code."""
import asyncio
import json
import os
import pathlib
import re
import time

from .case import Case
from .config import ROOT
from .server import PATIENCE

NODE = pathlib.Path(__file__).parents[1] / "node"
QUICK = {"minReconnectDelay": 50, "maxReconnectDelay": 500, "timeout": PATIENCE * 1000}


class Clients:
    """A Node process with clients of fanwire-client; see node/js_client.mjs."""

    def __init__(self, process):
        self._process = process

    @classmethod
    async def start(cls, *clients):
        return cls(await asyncio.create_subprocess_exec(
            "node", "js_client.mjs", json.dumps({"clients": clients}), cwd=NODE, env=os.environ,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 26))

    async def command(self, text):
        self._process.stdin.write(text.encode() + b"\n")
        await self._process.stdin.drain()

    async def _answer(self):
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), PATIENCE))

    async def report(self):
        """What each client has seen."""
        await self.command("report")
        return await self._answer()

    async def ask(self, method, *arguments, client=0):
        """Calls request() or history() of a client; returns its answer, or {"code", "message"}."""
        await self.command("ask " + json.dumps([client, method, *arguments]))
        return await self._answer()

    async def subscribe(self, one, client=0):
        """Adds a subscription() to a client."""
        await self.command("subscribe " + json.dumps([client, one]))

    async def until_each(self, condition, what):
        """Waits until the condition holds of every client; returns the report."""
        deadline = time.monotonic() + PATIENCE * 2
        while True:
            report = await self.report()
            if all(condition(client) for client in report):
                return report
            if time.monotonic() > deadline:
                raise AssertionError(f"timed out waiting for {what}: {brief(report)}")
            await asyncio.sleep(0.05)

    async def until(self, condition, what):
        """Waits until the condition holds of every subscription; returns the report."""
        return await self.until_each(
            lambda client: all(condition(one) for one in client["subscriptions"]), what)

    async def subscribed(self):
        return await self.until(lambda one: one["state"] == "subscribed", "subscriptions")

    async def seen(self, count):
        return await self.until(lambda one: len(one["numbers"]) >= count, f"{count} events")

    async def reconnected(self, cut):
        """Awaits cut(), and waits until each client has subscribed on another connection."""
        before = [client["connected"] for client in await self.report()]
        await cut()
        deadline = time.monotonic() + PATIENCE * 2
        while any(client["connected"] <= count or client["state"] != "connected"
                  for client, count in zip(await self.report(), before)):
            if time.monotonic() > deadline:
                raise AssertionError(f"not connected again: {brief(await self.report())}")
            await asyncio.sleep(0.05)
        await self.subscribed()

    async def end(self):
        await self.command("end")
        return await asyncio.wait_for(self._process.wait(), PATIENCE)

    async def kill(self):
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def brief(report):
    """The report's text, with only the last entries of each list."""
    def cut(value):
        if isinstance(value, dict):
            return {key: cut(one) for key, one in value.items()}
        if isinstance(value, list):
            return ([f"{len(value) - 3} more"] if len(value) > 3 else []) + [
                cut(one) for one in value[-3:]]
        return value
    return json.dumps([cut(client) for client in report])


def subscription(channel, *, options=None, **handling):
    return {"channel": channel, "options": options or {}, **handling}


class JsCase(Case):
    async def clients(self, *clients):
        started = await Clients.start(*clients)
        self.addAsyncCleanup(started.kill)
        return started

    def client(self, *subscriptions, url=None, options=None, **more):
        return {"url": url or self.server.url(), "options": {**QUICK, **(options or {})},
                "subscriptions": subscriptions, **more}

    async def publish_to(self, channels, first, last, step=50, service="mahavishnu"):
        for start in range(first, last + 1, step):
            for channel in channels:
                await asyncio.to_thread(self.publisher.publish_many, channel,
                                        min(step, last + 1 - start), start, service)

    def assert_complete(self, report, count):
        """Every subscription has seen the events 1 to `count`, and no gap."""
        for client in report:
            for one in client["subscriptions"]:
                self.assertEqual(one["numbers"], list(range(1, count + 1)), one["channel"])
                self.assertEqual(one["gaps"], [], one["channel"])
                self.assertEqual(one["position"]["offset"], count)


def block(server, language, sign):
    """The only block of docs/clients.md in this language that has `sign`, for this server."""
    text = (ROOT / "docs/clients.md").read_text()
    found = [code for code in re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
             if sign in code]
    assert len(found) == 1, f"{len(found)} blocks"
    return found[0].replace("ws://127.0.0.1:8690", server.url())


def line(number):
    """What the code of docs/clients.md shows of an event of DocumentCase."""
    return f'workflow.started {{"workflow_id":"wf_1","n":{number}}}'


class DocumentCase(Case):
    """Runs the code of docs/clients.md, which subscribes to `channel`."""

    channel = "workflow:wf_1"

    async def asyncSetUp(self):
        await asyncio.to_thread(self.server.wait, lambda: not self.rooms(),
                                "the end of the test before")

    def rooms(self):
        return self.server.wsctl_json("list-rooms", "--service", "mahavishnu")["rooms"]

    async def subscribed(self, channel=channel):
        deadline = time.monotonic() + PATIENCE * 3  # a browser takes its time to start
        while channel not in await asyncio.to_thread(self.rooms):
            self.assertLess(time.monotonic(), deadline, "no subscription")
            await asyncio.sleep(0.05)

    async def publish_numbers(self, first, last):
        for number in range(first, last + 1):
            await asyncio.to_thread(self.publisher.publish, self.channel, "workflow.started",
                                    {"workflow_id": "wf_1", "n": number})
