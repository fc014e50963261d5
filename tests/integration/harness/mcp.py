"""An MCP client that sends what it is told to, line by line."""
import contextlib
import json
import pathlib
import queue
import subprocess
import threading

from .server import PATIENCE


class Mcp:
    """Runs `wsctl mcp` until close()."""

    def __init__(self, server, *options, address=None):
        command = server.wsctl_command("mcp", *options)
        if address is not None:
            command[2] = address
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=server.environment)
        self._last_id = 0
        self._lines = queue.Queue()
        self._early = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    # ------------------------------------------------------------------------- messages

    def send_line(self, line):
        self.process.stdin.write(line if isinstance(line, bytes) else line.encode())
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def send(self, method, params=None, **members):
        self.send_line(json.dumps({"jsonrpc": "2.0", "method": method,
                                   **({} if params is None else {"params": params}), **members}))

    def start(self, method, params=None):
        """Sends a request and returns its id."""
        self._last_id += 1
        self.send(method, params, id=self._last_id)
        return self._last_id

    def start_call(self, name, **arguments):
        return self.start("tools/call", {"name": name, "arguments": arguments})

    def message(self, wanted=lambda message: True):
        """Returns the next message that is wanted; keeps those before it."""
        for index, message in enumerate(self._early):
            if wanted(message):
                return self._early.pop(index)
        while True:
            line = self._lines.get(timeout=PATIENCE * 2)
            if line is None:
                raise AssertionError(f"wsctl mcp ended: {self.process.stderr.read().decode()}")
            message = json.loads(line)
            if wanted(message):
                return message
            self._early.append(message)

    def answer(self, request):
        return self.message(lambda message: isinstance(message, dict) and
                            message.get("id") == request)

    def nothing_more(self):
        """Whether nothing has come that was not asked for."""
        return not self._early and self._lines.empty()

    def request(self, method, params=None):
        return self.answer(self.start(method, params))

    def initialize(self, version="2025-11-25"):
        result = self.request("initialize", {
            "protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}})["result"]
        self.send("notifications/initialized")
        return result

    def call(self, name, **arguments):
        return self.answer(self.start_call(name, **arguments))["result"]

    def object(self, name, **arguments):
        """The object of a call that must succeed."""
        result = self.call(name, **arguments)
        if result["isError"]:
            raise AssertionError(result["content"][0]["text"])
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        return result["structuredContent"]

    def error(self, name, **arguments):
        """The text of a call that must fail."""
        result = self.call(name, **arguments)
        if not result["isError"]:
            raise AssertionError(f"succeeded: {result}")
        return result["content"][0]["text"]

    # ------------------------------------------------------------------------- the process

    def threads(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("Threads:")[1].split()[0])

    def close(self):
        """Closes its input; returns its exit code and what it wrote to stderr."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        return self.wait()

    def wait(self):
        code = self.process.wait(PATIENCE)
        with self.process.stderr:
            return code, self.process.stderr.read().decode()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):  # what was not flushed
                stream.close()
