"""deploy/run.sh as a newcomer uses it after reading README.md: start it, run the commands that it
prints, press Ctrl-C.

The script has nothing to build, because this test runs in a release tree that is built.  It uses
the shipped ports, so the test runs in its own network namespace if the kernel allows that.
"""
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

OWN_NETWORK = "FANWIRE_TEST_OWN_NETWORK"
if OWN_NETWORK not in os.environ:
    # A chroot may not allow user namespaces; root can make a network namespace without one.
    for unshare in (["unshare", "--user", "--map-root-user", "--net"], ["unshare", "--net"]):
        if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.execvpe(unshare[0], [*unshare, sys.executable, *sys.argv],
                       {**os.environ, OWN_NETWORK: "1"})

import yaml  # noqa: E402

from harness.config import ROOT, shipped_config  # noqa: E402
from harness.server import PATIENCE  # noqa: E402

WSCTL = "build/release/bin/wsctl"


def bring_up_loopback():
    """Brings up the loopback interface, which is down in a new network namespace."""
    up, running, set_flags = 0x1, 0x40, 0x8914  # IFF_UP, IFF_RUNNING, SIOCSIFFLAGS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up | running))


class Process:
    """A command in its own session, as in its own terminal.  Its output goes to a file."""

    def __init__(self, test, command):
        self.log = test.directory / f"log-{uuid.uuid4()}"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=test.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        test.addCleanup(self.end)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern, patience=PATIENCE):
        """Waits until the output matches and returns the match."""
        deadline = time.monotonic() + patience
        while not (found := re.search(pattern, self.text(), re.MULTILINE)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                # The process may have ended after it printed the expected text.
                if found := re.search(pattern, self.text(), re.MULTILINE):
                    break
                raise AssertionError(f"no {pattern!r} (exit {self.process.poll()}):\n{self.text()}")
            time.sleep(0.05)
        return found

    def interrupt(self):
        """Sends SIGINT to all processes of the session, as Ctrl-C does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def exit_code(self):
        return self.process.wait(PATIENCE * 2)

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class RunScript(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if OWN_NETWORK in os.environ:
            bring_up_loopback()

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.mark = str(uuid.uuid4())
        self.environment = {**os.environ, "FANWIRE_TEST_ID": self.mark,
                            "XDG_RUNTIME_DIR": str(self.directory)}
        for name in ("FANWIRE_SERVER", "RUNTIME_DIRECTORY"):
            self.environment.pop(name, None)

    def start(self, *arguments):
        """Starts the script and waits until it has printed all commands."""
        begun = time.monotonic()
        run = Process(self, ["deploy/run.sh", *arguments])
        # If there is something to build, that is not a fault of the script.
        run.wait_for("^Ctrl-C stops", PATIENCE * 10)
        print(f"\nready after {time.monotonic() - begun:.1f} s, "
              f"{run.wait_for('^built in .*').group()}", flush=True)
        return run

    def pasted(self, run, what):
        """Runs the printed line with this beginning in a shell, unchanged."""
        line = run.wait_for(f"^  ({re.escape(what)}.*)$").group(1)
        return Process(self, ["bash", "-c", line])

    def watch(self, run):
        client = self.pasted(run, "/usr/bin/python3 deploy/client.py")
        client.wait_for(re.escape("subscribed to workflow:*"))
        return client

    def publish(self, run):
        published = self.pasted(run, f"{WSCTL} publish")
        self.assertEqual(published.exit_code(), 0, published.text())
        self.assertIn("accepted", published.text())

    def left(self):
        """Returns the processes of this test that are still running, except itself."""
        found = []
        for name in os.listdir("/proc"):
            try:
                environment = pathlib.Path(f"/proc/{name}/environ").read_bytes()
                if name.isdigit() and f"FANWIRE_TEST_ID={self.mark}".encode() in environment:
                    found.append(pathlib.Path(f"/proc/{name}/cmdline").read_text())
            except OSError:
                pass
        return [line for line in found if line]

    def assert_nothing_is_left(self):
        deadline = time.monotonic() + PATIENCE
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.left(), [])

    def assert_stops(self, run, *others):
        run.interrupt()
        self.assertEqual(run.exit_code(), 0, run.text())
        self.assertIn("\nStopped\n", run.text())
        for other in others:
            other.end()
        self.assert_nothing_is_left()

    def test_what_it_prints_works_and_ctrl_c_stops_it(self):
        run = self.start()
        client = self.watch(run)
        self.publish(run)
        client.wait_for(r"workflow:wf_demo  workflow\.started  .*wf_demo")
        self.assert_stops(run, client)
        self.assertNotIn("\nE 20", run.text())  # no error lines
        # At the second start everything is built and no port is in use any more.
        run = self.start()
        self.assert_stops(run)

    def test_demo_publishes_events_of_every_service(self):
        run = self.start("--demo")
        client = self.watch(run)
        client.wait_for(r"workflow:\S+  workflow\.\w+  ")
        deadline = time.monotonic() + PATIENCE
        while True:
            listed = subprocess.run([WSCTL, "--output", "json", "services", "list"], cwd=ROOT,
                                    env=self.environment, capture_output=True, check=True)
            published = {row["name"]: row["publications"] for row in json.loads(listed.stdout)}
            if all(published.values()) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self.assertEqual(len(published), 7)
        self.assertEqual([name for name, count in published.items() if count == 0], [])
        self.assert_stops(run, client)

    def test_other_ports_and_services_are_printed_as_they_are(self):
        config = shipped_config()
        config["services"] = [entry for entry in config["services"]
                              if entry["name"] in ("session-buddy", "akosha")]
        config["default_service"] = "akosha"
        path = self.directory / "mine.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        run = self.start("--config", str(path))
        # The port of the first service that speaks the common protocol.
        port = config["services"][0]["listeners"][1]["port"]
        self.assertIn(f"deploy/client.py ws://127.0.0.1:{port} 'workflow:*'", run.text())
        client = self.watch(run)
        self.publish(run)
        client.wait_for(r"workflow:wf_demo  workflow\.started")
        self.assert_stops(run, client)

    def hold(self, port):
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()

    def test_a_services_port_that_is_taken_fails_it_and_is_named(self):
        self.hold(8690)
        run = Process(self, ["deploy/run.sh"])
        run.wait_for("^== Not ready", PATIENCE * 10)
        self.assertEqual(run.exit_code(), 1)
        self.assertRegex(run.text(), r"(?m)^worker-0 has port 8690 of mahavishnu not open .*: the port "
                                     r"is held by process \d+")
        self.assertIn("--config FILE", run.text())
        self.assertNotIn("== Ready", run.text())
        self.assert_nothing_is_left()

    def test_controls_port_that_is_taken_fails_it_and_is_named(self):
        self.hold(8702)
        run = Process(self, ["deploy/run.sh"])
        run.wait_for("^fanwire-control ended before it was ready", PATIENCE * 10)
        self.assertEqual(run.exit_code(), 1)
        self.assertRegex(run.text(), r"control\.ops_listen: 127\.0\.0\.1:8702: .*already in use")
        self.assert_nothing_is_left()

    def test_a_configuration_with_faults_fails_it(self):
        path = self.directory / "bad.yaml"
        path.write_text("services:\n  - name: mahavishnu\n    prot: 8690\n")
        run = Process(self, ["deploy/run.sh", "--config", str(path)])
        run.wait_for("^fanwire-control ended before it was ready", PATIENCE * 10)
        self.assertNotEqual(run.exit_code(), 0)
        self.assertRegex(run.text(), r"bad\.yaml:3:5: .*prot")
        self.assert_nothing_is_left()

    def test_it_stops_everything_when_its_reader_goes_away(self):
        run = Process(self, ["bash", "-c", "deploy/run.sh | sed '/^== Start/q'"])
        self.assertEqual(run.process.wait(PATIENCE * 10), 0, run.text())
        self.assertIn("\n== Start\n", run.text())
        self.assertNotIn("write error", run.text())
        self.assert_nothing_is_left()

    def test_a_wrong_argument_is_named(self):
        for arguments, problem in ((["--no-such-option"], "unexpected argument: --no-such-option"),
                                   (["--config"], "--config needs FILE")):
            run = Process(self, ["deploy/run.sh", *arguments])
            self.assertEqual(run.exit_code(), 2)
            self.assertEqual(run.text(), f"run.sh: {problem}; see deploy/run.sh --help\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
