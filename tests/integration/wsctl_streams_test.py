"""wsctl with closed standard streams (`<&-`, `>&-`, `2>&-`): an error at once, never a hang; and
with a reader that goes away."""
import os
import select
import subprocess

from harness import Case, main
from harness.server import PATIENCE

READERS = [["publish", "mahavishnu", "a:b", "any.event", "-"],
           ["publish", "--batch", "-"],
           ["config", "check", "-"],
           ["token", "inspect", "-"],
           ["token", "mint", "--secret-file", "-"]]
OTHERS = [["health-check"], ["get-status"], ["list-rooms"], ["get-metrics"],
          ["broadcast-test-event", "any.event", "a:b"],
          ["publish", "mahavishnu", "closed:stream", "any.event"],
          ["tail", "mahavishnu", "--timeout", "1s"],
          ["services", "list"], ["channels", "list"], ["channels", "show", "mahavishnu", "a:b"],
          ["channels", "history", "mahavishnu", "a:b"], ["connections", "list"],
          ["workers", "list"], ["ledger"], ["engine", "status"], ["config", "show"], ["config", "reload"],
          ["log-level", "info"], ["token", "mint", "--secret", "0123456789abcdef"], ["version"],
          ["completion", "bash"], ["--help"], ["--version"], ["no-such-command"]]


class WsctlStreams(Case):
    def closed(self, stream, command):
        """Runs wsctl with this descriptor closed."""
        def close():
            os.close(stream)
        streams = {0: dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE),
                   1: dict(stdin=subprocess.DEVNULL, stderr=subprocess.PIPE),
                   2: dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)}[stream]
        return subprocess.run(self.server.wsctl_command(*command), text=True, preexec_fn=close,
                              env=self.server.environment, timeout=PATIENCE, **streams)

    async def test_what_reads_closed_standard_input_says_so(self):
        for command in READERS:
            with self.subTest(command=command):
                done = self.closed(0, command)
                self.assertEqual(done.returncode, 69, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertEqual(done.stderr, "wsctl: NOT_FOUND: cannot read standard input: it is "
                                              "closed\n")

    async def test_what_reads_nothing_works_without_standard_input(self):
        for command in OTHERS:
            with self.subTest(command=command):
                self.assertEqual(self.closed(0, command).returncode,
                                 self.server.wsctl(*command, check=False).returncode)

    async def test_nothing_is_done_without_standard_output_or_error(self):
        for command in OTHERS + [["publish", "mahavishnu", "closed:output", "any.event"]]:
            with self.subTest(command=command):
                done = self.closed(1, command)
                self.assertEqual(done.returncode, 79)
                self.assertEqual(done.stderr, "wsctl: DATA_LOSS: cannot write to standard output: "
                                              "it is closed\n")
                done = self.closed(2, command)
                self.assertEqual((done.returncode, done.stdout), (79, ""))
        self.assertEqual(self.server.wsctl("channels", "show", "mahavishnu", "closed:output",
                                    check=False).returncode, 69)

    async def test_a_tail_ends_when_its_reader_goes_away_though_nothing_is_published(self):
        tail = subprocess.Popen(self.server.wsctl_command("tail", "mahavishnu"), text=True,
                                env=self.server.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with tail:
            # A publication that is shown proves that the tail runs.
            def shown():
                self.server.wsctl("publish", "mahavishnu", "reader:gone", "any.event")
                return select.select([tail.stdout], [], [], 0)[0]
            self.server.wait(shown, "the tail shows a publication")
            tail.stdout.close()
            self.assertEqual(tail.wait(PATIENCE), 0)
            self.assertEqual(tail.stderr.read(), "")


if __name__ == "__main__":
    main()
