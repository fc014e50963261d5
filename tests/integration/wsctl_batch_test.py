"""`wsctl publish --batch -` reads JSON lines and writes receipts, streaming in both directions."""
import asyncio
import contextlib
import json
import subprocess
import threading

from harness import Case, Server, main, service, small_config
from harness.server import PATIENCE


def line(channel="b:a", event="x.y", data=None, service="mahavishnu", **more):
    return json.dumps({"service": service, "channel": channel, "event": event,
                       "data": {} if data is None else data, **more}) + "\n"


class Batch(Case):
    @classmethod
    def config(cls):
        # Twenty thousand events arrive faster than this client reads them.
        return small_config(service(session_backlog_bytes="64MiB"))

    def start(self, *arguments, server=None):
        process = subprocess.Popen(
            (server or self.server).wsctl_command("publish", "--batch", "-", *arguments),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            bufsize=1, env=self.server.environment)
        # A line that never arrives must not hang the test.
        timer = threading.Timer(PATIENCE * 2, process.kill)
        timer.start()
        self.addCleanup(timer.cancel)
        self.addCleanup(process.kill)
        self.addCleanup(self.close, process)
        return process

    @staticmethod
    def close(process):
        for stream in (process.stdin, process.stdout, process.stderr):
            # Flushing to a process that has ended fails.
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def run_batch(self, text, *arguments):
        done = self.server.wsctl("publish", "--batch", "-", *arguments, stdin=text, check=False)
        return done.returncode, [json.loads(row) for row in done.stdout.splitlines()]

    async def test_a_receipt_comes_for_each_line_at_once(self):
        process = self.start()
        for number in range(1, 6):
            process.stdin.write(line("b:live", data={"n": number}))
            process.stdin.flush()
            receipt = json.loads(process.stdout.readline())
            self.assertEqual(receipt["position"]["offset"], number)
            self.assertEqual(receipt["level"], "accepted")
            self.assertTrue(receipt["position"]["epoch"])
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), 0)

    async def test_receipts_come_in_the_order_of_the_lines_refusals_as_well(self):
        text = (line("b:o") + line("bad:*") + line("b:o", service="nobody") + "{nonsense\n" +
                line("b:o", event="") + '{"service": "mahavishnu"}\n' + line("b:o") +
                line("b:o", data=[1]) + line("b:o"))
        code, receipts = self.run_batch(text)
        self.assertEqual(len(receipts), 9)
        kinds = [receipt.get("status", {}).get("code", "OK") if "position" not in receipt
                 else receipt["position"]["offset"] for receipt in receipts]
        self.assertEqual(kinds, [1, "INVALID_ARGUMENT", "NOT_FOUND", "INVALID_ARGUMENT",
                                 "INVALID_ARGUMENT", "INVALID_ARGUMENT", 2, "INVALID_ARGUMENT", 3])
        for number, receipt in enumerate(receipts, 1):
            if "status" in receipt:
                self.assertTrue(receipt["status"]["message"])
                self.assertEqual(receipt["line"], number)
            else:
                self.assertNotIn("line", receipt)
        self.assertEqual(code, 67)

    async def test_refused_lines_are_told_and_are_the_exit_code(self):
        done = self.server.wsctl("publish", "--batch", "-", check=False,
                                 stdin=line() + "\n" + line("bad:*") * 3)
        self.assertEqual(done.returncode, 67)
        receipts = [json.loads(row) for row in done.stdout.splitlines()]
        self.assertEqual([receipt["status"]["code"] for receipt in receipts[1:]],
                         ["INVALID_ARGUMENT"] * 3)
        self.assertEqual([receipt["line"] for receipt in receipts[1:]], [3, 4, 5])
        self.assertRegex(done.stderr, r'^3 of 4 refused, first at line 3: channel "bad:\*": .+\n$')

    async def test_many_lines(self):
        count = 20000
        client = await self.connect()
        await client.subscribe("b:many")
        text = "".join(line("b:many", data={"n": n}) for n in range(1, count + 1))
        reading = asyncio.create_task(client.numbers(count))
        code, receipts = await asyncio.to_thread(self.run_batch, text)
        self.assertEqual(code, 0)
        self.assertEqual([receipt["position"]["offset"] for receipt in receipts],
                         list(range(1, count + 1)))
        self.assertEqual(await reading, list(range(1, count + 1)))

    async def test_id_and_idempotency_key(self):
        code, receipts = self.run_batch(line("b:key", id="mine", idempotency_key="k1") +
                                        line("b:key", idempotency_key="k1"))
        self.assertEqual(code, 0)
        self.assertEqual(receipts[0]["id"], "mine")
        self.assertEqual(receipts[1]["id"], "mine")
        self.assertIs(receipts[1]["duplicate"], True)
        self.assertEqual(receipts[0]["position"], receipts[1]["position"])

    async def test_level_written(self):
        client = await self.connect()
        await client.subscribe("b:written")
        code, receipts = self.run_batch(line("b:written") * 3, "--receipt", "written")
        self.assertEqual(code, 0)
        for receipt in receipts:
            self.assertEqual(receipt["level"], "written")
            self.assertEqual(receipt["delivery"]["matched"], 1)
            self.assertEqual(receipt["delivery"]["written"], 1)

    async def test_no_line_at_all(self):
        self.assertEqual(self.run_batch(""), (0, []))

    async def test_from_a_file(self):
        path = self.server.directory / "batch.jsonl"
        path.write_text(line("b:file") * 2)
        done = self.server.wsctl("publish", "--batch", str(path))
        self.assertEqual(len(done.stdout.splitlines()), 2)

    async def test_it_ends_with_an_error_when_control_goes_away(self):
        server = Server(small_config()).start()
        try:
            process = self.start(server=server)
            process.stdin.write(line())
            process.stdin.flush()
            self.assertIn("position", json.loads(process.stdout.readline()))
            server.kill()
            try:
                for _ in range(200):
                    process.stdin.write(line())
                    process.stdin.flush()
            except BrokenPipeError:
                pass
            self.assertNotEqual(process.wait(PATIENCE), 0)
            self.assertTrue(process.stderr.read())
            server.start()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
