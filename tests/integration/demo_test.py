"""deploy/demo.py publishes every event of the shipped catalog, and control accepts all of them."""
import json
import re
import subprocess
import sys

import yaml

from harness import Case, main, shipped_config
from harness.config import ROOT, SHIPPED


def demo(*arguments):
    done = subprocess.run([sys.executable, str(ROOT / "deploy/demo.py"), *arguments],
                          capture_output=True, text=True, check=True)
    return done.stdout


def fits(channel, template):
    """Whether a channel matches one of a catalog's channels, such as "workflow:{workflow_id}"."""
    parts = re.split(r"\{\w+\}", template)
    return re.fullmatch(".+".join(re.escape(part) for part in parts), channel) is not None


class Demo(Case):
    @classmethod
    def config(cls):
        config = shipped_config()
        for entry in config["services"]:
            entry["catalog_check"] = "enforce"
        return config

    async def test_every_event_of_the_catalog_is_there_and_accepted(self):
        text = demo("--events", "6000", "--seed", "1")
        seen = {}
        for line in text.splitlines():
            event = json.loads(line)
            seen.setdefault((event["service"], event["event"]), set()).add(event["channel"])
        catalog = yaml.safe_load(SHIPPED.read_text())
        missing = [f"{entry['name']} {event['name']} {template}" for entry in catalog["services"]
                   for event in entry.get("events", []) for template in event["channels"]
                   if not any(fits(channel, template)
                              for channel in seen.get((entry["name"], event["name"]), ()))]
        self.assertEqual(missing, [])
        done = self.server.wsctl("publish", "--batch", "-", stdin=text, check=False)
        receipts = [json.loads(line) for line in done.stdout.splitlines()]
        refused = {receipt["status"]["message"] for receipt in receipts
                   if receipt.get("status", {}).get("message")}
        self.assertEqual(refused, set())
        self.assertEqual(len(receipts), 6000)

    async def test_a_seed_repeats_the_stream_and_ids_never_do(self):
        def shape(text):
            return [(event["channel"], event["event"])
                    for event in map(json.loads, text.splitlines())]
        self.assertEqual(shape(demo("--events", "300", "--seed", "3")),
                         shape(demo("--events", "300", "--seed", "3")))

    async def test_it_ends_quietly_when_its_reader_does(self):
        for arguments in ("--events 100000", "--events 1", "--help", ""):
            for reader in ("head -n 1", "true"):
                with self.subTest(arguments=arguments, reader=reader):
                    done = subprocess.run(
                        ["bash", "-c", f"{sys.executable} {ROOT}/deploy/demo.py {arguments} | {reader}"],
                        capture_output=True, text=True)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))

    async def test_output_that_cannot_be_written_is_one_line_on_stderr(self):
        for redirection, error in [(">/dev/full", "cannot write the events: No space left on device\n"),
                                   (">&-", "standard output is closed\n")]:
            done = subprocess.run(
                ["bash", "-c", f"{sys.executable} {ROOT}/deploy/demo.py --events 9 {redirection}"],
                stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr), (1, error))


if __name__ == "__main__":
    main()
