"""Every code block of README.md and docs/ is run, as it stands there, in the order of its document.

The commands and programs of a document run in one folder that looks like a checkout that is built,
against one server with the shipped configuration, whose ports are replaced by free ones:

  sh                commands, which must succeed
  console           commands behind "$ ", and what they print
  python, js        programs, which must succeed; those that need something before them: SURROUNDED
  yaml              a configuration, or a part of one, which control must find good; or contexts of
                    wsctl
  json              must be JSON; that of docs/protocol.md is exchanged with the server
  proto             a file for the commands after it
  text              what the programs that run on, or else the last one that ended, have printed
  (no language)     a drawing

harness/documents.py says how a block is marked that is run elsewhere, cannot be run, or runs on.  A
block of another language needs such a mark.
"""
import asyncio
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

import yaml

from harness import Case, main, shipped_config
from harness.config import ROOT, SHIPPED
from harness.documents import blocks, describes, documents, missing, missing_in_order
from harness.js_clients import NODE
from harness.server import BIN, PATIENCE
from harness.token import SECRET, token

RUN_HERE = {"", "console", "js", "json", "proto", "python", "sh", "text", "yaml"}

# What surrounds a piece of a program, by its document and a text in it.
SURROUNDED = {
    ("docs/clients.md", 'client.subscribe("workflow:*", show)'): """\
import asyncio
from fanwire.publisher import AsyncPublisher
from fanwire.subscriber import Client

async def main():
    async with Client("ws://127.0.0.1:8690") as client, AsyncPublisher() as publisher:
        async def publish(subscription):
            await subscription.ready()
            await publisher.publish("mahavishnu", "pool:local", "pool.status_changed",
                                    {"pool_id": "local", "status": "idle"})
        ready = client.subscribe("pool:other")
        asyncio.ensure_future(publish(ready))
{block}
            break

asyncio.run(main())
""",
    ("docs/publishing.md", "WorkflowStarted("): """\
from fanwire.publisher import Publisher
with Publisher() as publisher:
{block}
    publisher.flush(20)
    assert publisher.stats()["refused"] == 0, publisher.stats()
""",
    ("docs/publishing.md", "AsyncPublisher()"): """\
import asyncio
from fanwire.publisher import AsyncPublisher
data = {"insight_id": "i1", "title": "Mondays are slow"}
async def main():
{block}
    assert (await pending).offset == receipt.offset + 1
asyncio.run(main())
""",
    ("docs/publishing.md", '@publisher.serve("fastblocks"'): """\
import asyncio
from fanwire.publisher import Publisher, RequestError
from fanwire.subscriber import Client, RequestFailed
state = {"cart.items": 3}
publisher = Publisher()
{block}
async def main():
    async with Client("ws://127.0.0.1:8684") as client:
        wanted = {"state_path": "cart.items", "value": 3}
        while await client.request("get_state", {"state_path": "cart.items"}) != wanted:
            await asyncio.sleep(0.05)  # control does not know yet that this process serves it
        try:
            await client.request("get_state", {"state_path": "x"})
        except RequestFailed as error:
            assert error.code == "NOT_FOUND", error
with publisher:
    publisher.start_serving()
    asyncio.run(main())
""",
}

# Files that commands of a document read.
FILES = {"docs/cli.md": {"bad.yaml": "services:\n  - name: billing\n    prot: 8777\n"}}


def surrounded(block):
    """The program that a block is, or is a piece of."""
    for (document, sign), around in SURROUNDED.items():
        if document == block.document and sign in block.code:
            before = around[:around.index("{block}")]
            last = before.rstrip().splitlines()[-1]
            indent = len(last) - len(last.lstrip()) + (4 if last.endswith(":") else 0)
            return around.replace("{block}\n", textwrap.indent(block.code, " " * indent))
    if block.language == "js" and "new WebSocket(" in block.code and "import" not in block.code:
        return f"import WebSocket from 'ws';\n{block.code}"  # browsers have it
    return block.code


def commands(code):
    """Yields (command, lines that it prints) of a console block."""
    lines = code.splitlines()
    while lines:
        line = lines.pop(0)
        assert line.startswith("$ "), f"expected a command: {line}"
        command = [line[2:]]
        while command[-1].endswith("\\"):
            command.append(lines.pop(0))
        if here := re.search(r"<<'(\w+)'", command[-1]):
            while command[-1] != here[1]:
                command.append(lines.pop(0))
        printed = []
        while lines and not lines[0].startswith("$ "):
            printed.append(lines.pop(0))
        yield "\n".join(command), printed


def configuration(part):
    """A whole configuration with a part of one: of a service, or of its status requests."""
    service = yaml.safe_load(SHIPPED.read_text())["services"][1].keys()
    service |= {"client_publish", "presence", "repeat_keys"}
    if isinstance(part, list) and all("request" in entry for entry in part):
        part = {"status_requests": part}
    if part.keys() <= service:
        part = {"services": [{"name": "mahavishnu", "port": 8777, **part}]}
    return part


class DocumentBlocks(Case):
    @classmethod
    def config(cls):
        os.environ["MAHAVISHNU_JWT_SECRET"] = SECRET
        return shipped_config(workers=3)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        shipped = yaml.safe_load(SHIPPED.read_text())["services"]
        cls.ports = {}
        for entry, used in zip(shipped, cls.server.config["services"]):
            listeners = entry.get("listeners") or [{"port": entry["port"]}]
            for listener, real in zip(listeners, used["listeners"]):
                cls.ports[f"127.0.0.1:{listener['port']}"] = f"127.0.0.1:{real['port']}"

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-blocks-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        for name in ("clients", "deploy", "docs", "proto", "tests"):
            (self.folder / name).symlink_to(ROOT / name)
        (self.folder / "node_modules").symlink_to(NODE / "node_modules")
        (self.folder / "build/release").mkdir(parents=True)
        (self.folder / "build/release/bin").symlink_to(BIN)
        (self.folder / ".config/fanwire").mkdir(parents=True)
        self.environment = {
            **os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.folder),
            "PYTHONPATH": "clients/python/src", "PYTHONUNBUFFERED": "1",
            "XDG_CONFIG_HOME": str(self.folder / ".config"),
            "FANWIRE_SERVER": self.server.address, "MAHAVISHNU_JWT_SECRET": SECRET,
            "TOKEN": token(user_id="ana", permissions=["workflow:read"])}
        self.running = []  # [(block, process, file of its output)]
        self.printed = ""  # by the last program that ended
        self.frames = []  # that came of docs/protocol.md's messages
        self.addCleanup(self.kill)

    def kill(self):
        for _, process, _ in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def here(self, code):
        """Code with the ports of this server."""
        for shipped, real in self.ports.items():
            code = re.sub(rf"{re.escape(shipped)}\b", real, code)
        return code

    def there(self, text):
        """Output with the shipped ports."""
        for shipped, real in self.ports.items():
            text = re.sub(rf"{re.escape(real)}\b", shipped, text)
        return text

    # ----------------------------------------------------------------------- programs

    def command(self, block):
        code = self.here(surrounded(block))
        if block.language == "sh":
            return ["bash", "-euo", "pipefail", "-c", code]
        path = self.folder / f"block_{block.line}.{'py' if block.language == 'python' else 'mjs'}"
        path.write_text(code)
        return [sys.executable if block.language == "python" else "node", str(path)]

    def start(self, block, command):
        """Starts a program whose output goes to a file; returns (block, process, file)."""
        output = open(self.folder / f"output_{block.line}_{len(self.running)}", "wb")
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True)
        output.close()
        self.running.append((block, process, pathlib.Path(output.name)))
        return self.running[-1]

    async def finish(self, block, command):
        """Runs a program to its end; returns (exit code, output)."""
        _, process, output = self.start(block, command)
        try:
            await asyncio.to_thread(process.wait, PATIENCE * 2)
        except subprocess.TimeoutExpired:
            self.fail(f"{block} does not end: {output.read_text()}")
        self.running.pop()
        return process.returncode, self.there(output.read_text())

    async def run_sh(self, block):
        if block.how == "runs on":
            wanted = self.subscriptions() + int((block.detail or "1").split()[0])
            self.start(block, self.command(block))
            await self.until(lambda: self.subscriptions() >= wanted, block, "subscribes")
            return
        code, self.printed = await self.finish(block, self.command(block))
        self.assertEqual(code, 0, f"{block}: {self.printed}")

    run_python = run_js = run_sh

    def subscriptions(self):
        """How many there are.  A client of session-buddy's dialect has one without asking for it."""
        return sum(max(connection["channel_count"], connection["dialect"] == "session_buddy")
                   for connection in self.server.wsctl_json("connections", "list"))

    async def until(self, condition, block, what):
        deadline = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(condition):
            told = "".join(output.read_text() for _, _, output in self.running)
            self.assertLess(time.monotonic(), deadline, f"{block} never {what}: {told}")
            await asyncio.sleep(0.05)

    async def run_text(self, block):
        expected = block.code.splitlines()
        if not self.running:
            self.assertIsNone(missing(expected, self.printed), f"{block}: {self.printed}")
            return

        def shown():
            return missing(expected, "".join(
                self.there(output.read_text()) for _, _, output in self.running)) is None
        await self.until(shown, block, "is printed")
        await self.stop()

    async def stop(self):
        """Ends what runs on as its user would."""
        for block, process, _ in self.running:
            self.assertIsNone(process.poll(), f"{block} has ended")
            os.killpg(process.pid, signal.SIGINT)
        for _, process, _ in self.running:
            await asyncio.to_thread(process.wait, PATIENCE)
        self.running.clear()

    async def run_console(self, block):
        for command, expected in commands(block.code):
            bash = ["bash", "-c", self.here(command)]
            if "drain" in command:
                await self.close_clients()  # a drain takes its time while there are sessions
            if command.startswith("wsctl tail"):
                await self.run_tail(block, bash, expected)
                continue
            code, output = await self.finish(block, bash)
            if not expected:
                self.assertEqual(code, 0, f"{block}: {command}: {output}")
            self.assertIsNone(missing_in_order(expected, output), f"{block}: {command}:\n{output}")

    async def run_tail(self, block, bash, expected):
        """A tail shows what is published after it began: publishes until it does."""
        _, process, output = self.start(block, bash)

        def shown():
            for event in ("workflow.started", "workflow.failed"):
                self.publish("workflow:wf_1", event, {"workflow_id": "wf_1"})
            return missing_in_order(expected, output.read_text()) is None
        await self.until(shown, block, f"is printed by {bash[-1]}")
        await self.stop()

    # ----------------------------------------------------------------------- data

    async def run_proto(self, block):
        package = re.search(r"^package (?:\w+\.)*(\w+);", block.code, re.M)[1]
        (self.folder / f"{package}.proto").write_text(block.code)

    async def run_yaml(self, block):
        part = yaml.safe_load(block.code)
        if "servers" in part:
            (self.folder / ".config/fanwire/wsctl.yaml").write_text(block.code)
            return
        path = self.folder / f"block_{block.line}.yaml"
        whole = configuration(part)
        path.write_text(block.code if whole is part else yaml.safe_dump(whole))
        code, output = await self.finish(
            block, ["fanwire-control", "--config", str(path), "--check-config"])
        self.assertEqual(code, 0, f"{block}: {output}")

    async def run_json(self, block):
        values = self.values(block)
        if block.document == "docs/protocol.md":
            await self.exchange(block, values)
        for value in values:
            for server in value.get("mcpServers", value.get("servers", {})).values():
                self.assertEqual([server["command"], *server["args"]], ["wsctl", "mcp"])

    @staticmethod
    def values(block):
        """The JSON of a block: one value, or one a line."""
        try:
            return [json.loads(block.code)]
        except ValueError:
            return [json.loads(line) for line in block.code.splitlines()]

    async def exchange(self, block, values):
        """Sends a client's messages, which must be answered; those of the server must have come."""
        if not self.frames:
            self.client = await self.connect()
            self.frames.append(self.client.welcome)
            data = {"workflow_id": "wf_1", "prompt": "…"}
            self.publish("workflow:wf_1", "workflow.started", data)
            self.frames.append(await self.client.request(
                "subscribe", {"channel": "workflow:wf_1", "state": True}))
            self.publish("workflow:wf_1", "workflow.started", data)
            self.frames.append(await self.client.event("workflow.started"))
        for value in values:
            if {"type", "data"} <= value.keys() <= {"type", "id", "event", "data"}:
                reply = await self.client.reply(value)
                self.assertEqual(reply["type"], "response", f"{block}: {reply}")
                self.frames.append(reply)
            else:
                self.assertTrue(any(describes(value, frame) or describes(value, frame["data"])
                                    for frame in self.frames), f"{block}: {value}: {self.frames}")

    # ----------------------------------------------------------------------- documents

    async def prepare_cli(self):
        """What the manual shows: two subscribers of a workflow, and a user with four channels."""
        users = [await self.connect(), await self.connect()]
        for user in users:
            await user.subscribe("workflow:wf_1")
        ana = await self.connect(path=f"?token={token(permissions=['admin'])}")
        for channel in ("workflow:wf_1", "pool:1", "global", "adapters"):
            await ana.subscribe(channel)
        self.clients = [*users, ana]

    async def close_clients(self):
        for client in self.clients:
            await client.close()

    async def run_document(self, document):
        if document == "docs/cli.md":
            await self.prepare_cli()
            self.addCleanup(self.server.wsctl, "workers", "restart", "--only-stopped")
        for name, text in FILES.get(document, {}).items():
            (self.folder / name).write_text(text)
        for block in blocks(document):
            if block.how in (None, "runs on") and block.language in RUN_HERE:
                await getattr(self, f"run_{block.language or 'drawing'}")(block)
        self.assertEqual([str(block) for block, _, _ in self.running], [],
                         "run on, and the document does not say what they print")

    async def run_drawing(self, block):
        pass

    async def test_every_block_is_run_or_says_why_not(self):
        for document in documents():
            for block in blocks(document):
                with self.subTest(str(block)):
                    if block.how == "not run":
                        self.assertGreater(len(block.detail or ""), 8, "the reason")
                    elif block.how == "run by":
                        text = (ROOT / block.detail).read_text()
                        self.assertTrue(document in text, f"{block.detail} does not name it")
                    else:
                        self.assertIn(block.language, RUN_HERE, "no test runs it, and no comment "
                                      "before it says why: see harness/documents.py")

    async def test_every_surrounding_has_its_block(self):
        for document, sign in SURROUNDED:
            found = [block for block in blocks(document) if sign in block.code]
            self.assertEqual(len(found), 1, sign)


def add_test(document):
    async def test(self):
        await self.run_document(document)
    setattr(DocumentBlocks, "test_" + re.sub(r"\W", "_", document.removesuffix(".md")), test)


for each in documents():
    add_test(each)

if __name__ == "__main__":
    main()
