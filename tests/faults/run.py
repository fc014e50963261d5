"""Runs the fault suite; run.sh calls it and documents it."""
import argparse
import asyncio
import collections
import csv
import datetime
import hashlib
import logging
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("FANWIRE_TEST_PATIENCE", "60")
from checker import RULES, Checker, read  # noqa: E402
from harness.server import BIN  # noqa: E402
from journal import Journal  # noqa: E402
from kinds import Faults  # noqa: E402
from publishers import LastPublisher, StreamPublisher, UnaryPublisher  # noqa: E402
from subscribers import LibraryClient, RawClient  # noqa: E402
from system import ENGINES, SERVICE, System  # noqa: E402

HERE = pathlib.Path(__file__).parent
LOG = HERE / "log.csv"
CHANNELS = [f"load:{number}" for number in range(3)]
QUIET_SECONDS = 90  # for recovery and the last receipts, after the last fault


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


class Run:
    """One run on one engine with one seed."""

    def __init__(self, engine, seconds, seed, folder):
        self.faults = collections.Counter()
        self.events = 0
        self._engine = engine
        self._seconds = seconds
        self._random = random.Random(seed)
        self._folder = folder
        self._journals = []
        self._clients = []
        self._publishers = []
        self._system = System(engine, self._journal("system"))

    def _journal(self, name):
        self._journals.append(Journal(self._folder, name))
        return self._journals[-1]

    async def run(self):
        """Returns the problems."""
        problems = []
        try:
            await self._system.start()
            if self._system.engine.note:
                say(f"skipped: {self._system.engine.note}")
            await self._start_clients()
            self._start_publishers()
            await self._apply_faults()
            await self._settle()
        except AssertionError as error:
            problems.append(f"the run broke off: {error}")
        finally:
            for publisher in self._publishers:
                publisher.stop()
            for client in self._clients:
                await client.stop()
            log = self._system.server and self._system.server.directory / "log"
            if log and log.exists():
                shutil.copy(log, self._folder / "log")
            problems += await self._system.stop()
            for journal in self._journals:
                journal.close()
        self.events = sum(publisher.sent for publisher in self._publishers)
        return problems + Checker(RULES[self._engine]).check(read(self._folder))

    async def _start_clients(self):
        url = self._system.url()
        self._clients += [LibraryClient(f"library-{number}", url, CHANNELS,
                                        self._journal(f"library-{number}")) for number in (1, 2)]
        self._clients += [RawClient(f"raw-{number}", url, CHANNELS,
                                    self._journal(f"raw-{number}")) for number in (1, 2)]
        self._clients.append(RawClient("slow", url, CHANNELS, self._journal("slow"), slow=2))
        self._clients.append(RawClient("pattern", url, ["load:*"], self._journal("pattern"),
                                       role="pattern"))
        for client in self._clients:
            await client.start()

    def _start_publishers(self):
        address = self._system.address()
        for name, kind, level in (("stream-1", StreamPublisher, "accepted"),
                                  ("stream-2", StreamPublisher, "written"),
                                  ("unary", UnaryPublisher, "written")):
            self._publishers.append(kind(name, address, CHANNELS, self._journal(name), 40,
                                         random.Random(self._random.random()), level))
        for publisher in self._publishers:
            publisher.start()

    async def _apply_faults(self):
        journal = self._journal("faults")
        faults = Faults(self._system, self._random)
        end = time.monotonic() + self._seconds
        told = time.monotonic()
        await asyncio.sleep(1)
        while time.monotonic() < end:
            name = faults.draw()
            journal.write("fault", name=name)
            self.faults[name] += 1
            try:
                await faults.apply(name)
            except AssertionError as error:
                raise AssertionError(f"after {name}: {error}") from None
            journal.write("healed", name=name)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                say(f"{end - told:4.0f} s left, {sum(self.faults.values())} faults, "
                    f"{sum(each.sent for each in self._publishers)} events")
            await asyncio.sleep(self._random.uniform(0.1, 1.0))

    async def _settle(self):
        """Everything is whole: all events arrive, and the last of each channel is known."""
        await self._system.ready()
        for publisher in self._publishers:
            publisher.stop()
        for publisher in self._publishers:
            await asyncio.to_thread(publisher.join, QUIET_SECONDS)
        last = LastPublisher("last", self._system.address(), CHANNELS, self._journal("last"), 1,
                             self._random)
        await asyncio.to_thread(last.publish_last)
        auditor = RawClient("auditor", self._system.url(), CHANNELS, self._journal("auditor"),
                            role="auditor",
                            start_at={channel: (epoch, 0)
                                      for channel, (epoch, _) in last.last.items()})
        self._clients.append(auditor)
        await auditor.start()
        deadline = time.monotonic() + QUIET_SECONDS
        recovering = [client for client in self._clients if client.name != "pattern"]
        while time.monotonic() < deadline and any(client.positions != last.last
                                                  for client in recovering):
            await asyncio.sleep(0.1)
        await self._write_ledger()
        self._system.note_processes("end")

    async def _write_ledger(self):
        deadline = time.monotonic() + 20
        while True:
            [row] = [row for row in await asyncio.to_thread(self._system.server.wsctl_json,
                                                            "ledger")
                     if row["service"] == SERVICE]
            if (not row["difference"] and not row["queued"]) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        self._journals[0].write("ledger", **row)


async def interruptible(run):
    """The first signal ends the run as its end does, so that nothing stays behind."""
    task = asyncio.ensure_future(run.run())
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    interrupted = False

    def interrupt():
        nonlocal interrupted
        interrupted = True
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        task.cancel()
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        return await task
    except Exception:
        if interrupted:  # the signal of a terminal reaches programs that the run waits for as well
            raise asyncio.CancelledError from None
        raise


def commit():
    """Returns the commit of the programs, as far as that is known: of those in this checkout."""
    if not BIN.resolve().is_relative_to(HERE.parents[1]):
        return "unknown"
    done = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def programs():
    """Returns a text that tells programs apart: the beginning of a hash of both."""
    both = b"".join((BIN / name).read_bytes() for name in ("fanwire-control", "fanwire-fanout"))
    return hashlib.sha256(both).hexdigest()[:12]


def record(built_from, engine, seed, seconds, run, result):
    with open(LOG, "a", newline="", encoding="utf-8") as file:
        kinds = " ".join(f"{name}:{count}" for name, count in sorted(run.faults.items()))
        csv.writer(file, lineterminator="\n").writerow(
            [f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%MZ}", built_from,
             programs(), engine, seed, seconds, sum(run.faults.values()), kinds, run.events,
             result])


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="memory")
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    built_from = commit()  # HEAD may move while a long run lasts
    failed = 0
    for number in range(options.repeat):
        seed = (random.SystemRandom().randrange(1 << 31) if options.seed is None
                else options.seed + number)
        say(f"engine {options.engine}, {options.seconds} s, seed {seed}")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-faults-journals-", dir="/tmp"))
        run = Run(options.engine, options.seconds, seed, folder)
        try:
            problems = asyncio.run(interruptible(run))
        except asyncio.CancelledError:
            shutil.rmtree(folder)
            say("interrupted")
            return 130
        result = "failed" if problems else "passed"
        if options.record:
            record(built_from, options.engine, seed, options.seconds, run, result)
        say(f"{result}: engine {options.engine}, seed {seed}, {sum(run.faults.values())} faults, "
            f"{run.events} events")
        print("  " + ", ".join(f"{name} {count}" for name, count in sorted(run.faults.items())))
        if problems:
            failed += 1
            print(*problems, sep="\n")
            print(f"journals and log: {folder}\nagain: tests/faults/run.sh --engine "
                  f"{options.engine} --seconds {options.seconds} --seed {seed}", flush=True)
        else:
            shutil.rmtree(folder)
    if options.repeat > 1:
        say(f"{options.repeat - failed} of {options.repeat} runs passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
