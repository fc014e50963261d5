"""deploy/demo.py publishes every event of the shipped catalog, and control accepts all of them."""
import asyncio
import json
import os
import re
import signal
import subprocess
import sys

from harness import Case, Server, main, service, shipped_config, small_config
from harness.config import ROOT


DEMO = str(ROOT / "deploy/demo.py")

# Forms and names that only reports and guides give to events of the demo.
OTHER_FORMS = {("metrics.update", "metrics"), ("state.changed", "component:{component_id}"),
               ("cursor.moved", "collaboration:{room}"), ("user.joined", "collaboration:{room}"),
               ("user.left", "collaboration:{room}"), ("fastblocks.ui_updated", "page:{page_id}"),
               ("fastblocks.component_rendered", "component:{component_id}"),
               ("fastblocks.state_changed", "component:{component_id}")}


def lines(*arguments):
    """Returns what the demo prints of its events."""
    done = subprocess.run([sys.executable, DEMO, "--print", *arguments], capture_output=True,
                          text=True, check=True)
    return done.stdout.splitlines()


def fits(channel, template):
    """Whether a channel matches one of a catalog's channels, such as "workflow:{workflow_id}"."""
    parts = re.split(r"\{\w+\}", template)
    return re.fullmatch(".+".join(re.escape(part) for part in parts), channel) is not None


async def in_thread(function):
    return await asyncio.get_running_loop().run_in_executor(None, function)


class Demo(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["catalog_check"] = "enforce"
        return config

    async def test_every_event_of_the_catalog_is_there_and_accepted(self):
        seen = {}
        for line in lines("--events", "6000", "--seed", "1"):
            event = json.loads(line)
            seen.setdefault((event["service"], event["event"]), set()).add(event["channel"])
        missing = [f"{event['service']} {event['event']} {template}"
                   for event in self.server.wsctl_json("catalog", "list", "--running")
                   for template in event["channels"]
                   if (event["event"], template) not in OTHER_FORMS and
                   not any(fits(channel, template)
                           for channel in seen.get((event["service"], event["event"]), ()))]
        self.assertEqual(missing, [])
        done = subprocess.run([sys.executable, DEMO, "--events", "6000", "--seed", "1"],
                              capture_output=True, text=True,
                              env={**os.environ, "FANWIRE_SERVER": self.server.address})
        self.assertEqual((done.returncode, done.stderr, done.stdout),
                         (0, "", "6000 events accepted, 0 refused\n"))

    async def test_it_publishes_in_real_time(self):
        client = await self.connect()
        await client.subscribe("**")
        demo = subprocess.Popen([sys.executable, DEMO],
                                env={**os.environ, "FANWIRE_SERVER": self.server.address})
        try:
            await client.events(20)
        finally:
            demo.send_signal(signal.SIGINT)
            self.assertEqual(demo.wait(20), -signal.SIGINT)

    async def test_refused_events_are_told(self):
        config = small_config(service("mahavishnu"))
        server = await in_thread(lambda: Server(config).start())
        try:
            done = await in_thread(lambda: subprocess.run(
                [sys.executable, DEMO, "--events", "200", "--seed", "1"], capture_output=True,
                text=True, env={**os.environ, "FANWIRE_SERVER": server.address}))
        finally:
            await in_thread(server.stop)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"^\d+ events accepted, \d+ refused\n$")
        self.assertIn("NOT_FOUND", done.stderr)

    async def test_a_seed_repeats_the_stream_and_ids_never_do(self):
        def shape():
            return [(event["channel"], event["event"])
                    for event in map(json.loads, lines("--events", "300", "--seed", "3"))]
        self.assertEqual(shape(), shape())

    async def test_it_ends_quietly_when_its_reader_does(self):
        for arguments in ("--print --events 100000", "--print --events 1", "--help", "--print"):
            for reader in ("head -n 1", "true"):
                with self.subTest(arguments=arguments, reader=reader):
                    done = subprocess.run(
                        ["bash", "-c", f"{sys.executable} {DEMO} {arguments} | {reader}"],
                        capture_output=True, text=True)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))

    async def test_output_that_cannot_be_written_is_one_line_on_stderr(self):
        for redirection, error in [(">/dev/full", "cannot write the events: No space left on device\n"),
                                   (">&-", "standard output is closed\n")]:
            done = subprocess.run(
                ["bash", "-c", f"{sys.executable} {DEMO} --print --events 9 {redirection}"],
                stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr), (1, error))


if __name__ == "__main__":
    main()
