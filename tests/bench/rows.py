"""What the benchmark measures: groups of rows, and what is derived from them."""
import functools
from dataclasses import dataclass
from typing import Callable

import measure
from servers import (Fanwire, FanwireDropOldest, FanwireFree, FanwireTwo, FloorJoined,
                     FloorJoinedAlike, FloorSend, FloorSendAlike, Nats, Nchan, Node, Python,
                     StockWebsocketpp)

PEERS = [StockWebsocketpp, Python, Node, Nchan, Nats]

GROUPS = {
    "fanout": "One channel, many subscribers: how many deliveries a second one core of the server "
              "makes. The floor is an epoll loop that only sends; with several publications in "
              "flight a server may join them in one send, as the joined floor does. The floor "
              "sends the bare data; with the same wire it sends as many bytes as Fanwire, whose "
              "protocol puts an envelope around the data, and sets the same socket options. The "
              "reader of the load generator never sleeps while deliveries are outstanding, for "
              "no server: else chance decides which sends pay for waking it.",
    "latency": "From just before the publish call to the parsed frame in the client, at a fixed "
               "rate that leaves the server mostly idle; and beside clients that never read.",
    "idle": "What a connection costs the server while nothing is published. The idle CPU is that "
            "of a minute, with three rounds of pings: a session that hears nothing gets one every "
            "20 s, and answers.",
    "targets": "What the Python servers that Fanwire replaces promised, measured on both.",
    "publish": "How fast control accepts 512-byte events, history on, without a worker's interest "
               "and with it; control has a core of its own. Latencies are those of a full pipe: "
               "what is in flight divided by the rate. Histories are full of old entries unless "
               "told otherwise: while they fill, each append takes fresh memory, and the more "
               "channels there are the longer that lasts.",
    "channels": "Many channels with few subscribers each: nothing can be shared between "
                "deliveries, so each costs more than in a wide fan-out.",
    "fairness": "Twenty channels with one subscriber and 20 publications a second each, alone and "
                "beside a flood on the same worker: of one channel with many subscribers, at a "
                "fixed rate or as fast as it goes, which keeps the worker busy all the time; or of "
                "many channels with four subscribers each; or of a few events of nearly 1 MB.",
    "floods": "The same twenty channels beside 50 clients that send as much as the worker takes, "
              "with the limits that ship: messages, WebSocket pings, or requests for history. "
              "The generator of the flood has the lowest priority on the core of the other "
              "generator; how much of a latency is its doing shows the flood of a sink, which "
              "does not reach the server.",
    "workers": "The same load on one worker and on two, nothing pinned: with two cores the load "
               "generator takes its share of both.",
}


@dataclass
class Metric:
    """A number of a measurement.  `field` is its name in the program's output."""
    key: str
    title: str
    field: str
    unit: str
    higher: bool = False  # more is better
    only: str = ""        # of this case alone


@dataclass
class Case:
    """One of those that a row compares."""
    name: str
    run: Callable  # of the folder of the programs; returns a dict
    available: Callable = lambda: True
    rounds: int = 0  # if it takes part in fewer than the row has


@dataclass
class Row:
    """One measurement of several cases, in rounds that go round the cases.

    The first `references` of the cases are what the others are compared with.
    """
    group: str
    cases: list
    metrics: list
    rounds: int
    references: int = 1


@dataclass
class Curve:
    """A line plot of `field`: for each series, points of x, a row's key and a case of it."""
    key: str
    group: str
    title: str
    x_label: str
    unit: str
    field: str
    series: dict


@dataclass
class Shares:
    """A stacked plot: parts of a whole (label -> field) for each case of a row."""
    key: str
    group: str
    title: str
    unit: str
    row: str
    fields: dict


def load_case(server, args, seconds, *, name=None, idle=False, rounds=0):
    return Case(name or server.name,
                functools.partial(measure.load, server_class=server, args=args, seconds=seconds,
                                  idle=idle),
                server.available, rounds)


def per_core(key, title):
    return Metric(key, title, "deliveries_per_core", "/s per core", higher=True)


class Plan:
    """All rows of a run."""

    def __init__(self, quick):
        self.quick = quick
        self.goal_rounds = 1 if quick else 5  # of rows that a goal is set for
        self.rounds = 1 if quick else 2       # of the others: the run can afford no more
        self.floor_rounds = 1 if quick else 11  # of Fanwire against the floors, to 1,000
        self.seconds = 0.5 if quick else 1.2
        self.rows = []
        self.curves = []
        self.shares = []
        self.fanout()
        self.latency()
        self.idle()
        self.targets()
        self.publish()
        self.channels()
        self.fairness()
        self.floods()
        self.workers()

    def add(self, group, cases, metrics, rounds=None, references=1):
        self.rows.append(Row(group, cases, metrics, rounds or self.rounds, references))

    def fanout(self):
        sizes = ([(100, 512), (1000, 512)] if self.quick else
                 [(100, 512), (1000, 128), (1000, 512), (1000, 4096), (5000, 512), (10000, 128),
                  (10000, 512), (10000, 4096)])
        for window, floors in ((1, [FloorSend, FloorSendAlike]),
                               (16, [FloorJoined, FloorJoinedAlike])):
            for n, size in sizes:
                goal = n in (1000, 10000) and size == 512
                seconds = 0.8 if goal and not self.quick else 0.5
                args = ["--connections", n, "--window", window, "--payload", size, "--spin"]
                # To 10,000 only the fair floor, but for the goal's rows: each takes seconds.
                beside = floors if goal or n < 10000 else floors[1:]
                cases = [load_case(s, args, seconds) for s in (*beside, Fanwire)]
                rounds = self.goal_rounds if goal else self.rounds
                if (n, size) == (1000, 512):
                    rounds = self.floor_rounds
                    if not (self.quick and window == 16):
                        cases += [load_case(s, args, seconds,
                                            rounds=self.rounds if s is Nats else self.goal_rounds)
                                  for s in PEERS]
                what = f"fan-out to {n:,}, {size} B, {window} in flight"
                self.add("fanout", cases,
                         [per_core(f"fanout_{n}_{size}_w{window}", what)], rounds,
                         references=len(beside))
            self.curves.append(Curve(
                f"growth_subscribers_w{window}", "fanout",
                f"cost of a delivery, 512 B, {window} in flight", "subscribers", "ns",
                "ns_per_delivery",
                {s.name: [(n, f"fanout_{n}_512_w{window}", s.name) for n, size in sizes
                          if size == 512] for s in (*floors, Fanwire)}))

        # Long, for the kernel counts these in ticks of 10 ms.
        args = ["--connections", 1000, "--window", 1, "--spin"]
        self.add("fanout", [load_case(s, args, self.seconds if self.quick else 3)
                            for s in (FloorSendAlike, Fanwire)],
                 [Metric("user_share", "fan-out to 1,000, 512 B, 1 in flight: share of user space "
                         "in the server's CPU", "user_percent", "%")])

    def latency(self):
        def row(cases, metrics, **more):
            self.add("latency", cases, metrics, self.goal_rounds, **more)
        args = ["--connections", 1000, "--rate", 20]
        seconds = 0.5 if self.quick else 1.5
        row([load_case(s, args, seconds) for s in (FloorSend, FloorSendAlike, Fanwire)],
            [Metric("rate_1000", "1,000 subscribers x 20/s: p99", "p99_ms", "ms"),
             Metric("rate_1000_p50", "1,000 subscribers x 20/s: p50", "p50_ms", "ms")],
            references=2)
        args = ["--connections", 1, "--rate", 500]  # 2,000 latencies, so that p99 means something
        seconds = 1 if self.quick else 4
        row([load_case(FloorSend, args, seconds, rounds=self.rounds),
             load_case(Fanwire, args, seconds)],
            [Metric("rate_1", "1 subscriber x 500/s, end to end: p50", "p50_ms", "ms"),
             Metric("rate_1_p99", "1 subscriber x 500/s, end to end: p99", "p99_ms", "ms")])
        # Over 1 MiB in the time, which is a session's limit: closed, or kept at it.
        args = ["--connections", 200, "--rate", 200, "--payload", 4096]
        dead = [*args, "--never-read", 10, "--never-read-buffer", 4096]
        seconds = 1.5 if self.quick else 2
        kept = "10 never read, drop_oldest"
        what = "200 subscribers x 200/s x 4 KiB"
        row([load_case(Fanwire, args, seconds, name="all read"),
             load_case(Fanwire, dead, seconds, name="10 never read, closed"),
             load_case(FanwireDropOldest, dead, seconds, name=kept)],
            [Metric("slow", f"{what}: p99 of those who read", "p99_ms", "ms"),
             Metric("slow_rate", f"{what}: delivered to those who read", "deliveries_per_second",
                    "/s", higher=True),
             Metric("slow_memory", "each of 10 readers at their limit of 1 MiB: memory, the "
                    "kernel's included", "never_read_memory_bytes", "B", only=kept),
             Metric("slow_kernel", "each of 10 readers at their limit: of that the kernel's",
                    "never_read_kernel_bytes", "B", only=kept),
             Metric("slow_worker", "all 10 at their limit: growth of the worker, which keeps their "
                    "publications once", "memory_growth_bytes", "B", only=kept)])

    def idle(self):
        n = 2000 if self.quick else 10000
        args = ["--connections", n]
        self.add("idle", [load_case(s, args, 0.1, idle=True) for s in (FloorSend, Fanwire)] +
                 [load_case(s, args, 0.1, idle=True, rounds=self.rounds) for s in PEERS],
                 [Metric("idle_memory", f"{n:,} idle connections: memory each",
                         "memory_bytes_per_connection", "B"),
                  Metric("handshake", f"{n:,} handshakes: server CPU each", "handshake_cpu_us",
                         "us"),
                  Metric("handshake_rate", f"{n:,} handshakes, 128 at once: rate",
                         "connects_per_second", "/s", higher=True)], self.goal_rounds)
        # Pings come after 20 s of silence: there are three rounds of them, or one if quick.
        self.add("idle", [load_case(Fanwire, ["--connections", n], 25 if self.quick else 60,
                                    idle=True)],
                 [Metric("idle_cpu", f"{n:,} idle connections: CPU, pings included", "cpu_percent",
                         "%"),
                  Metric("idle_cpu_pings", f"{n:,} idle connections: of that for pings",
                         "pings_cpu_percent", "%"),
                  Metric("idle_cpu_quiet", f"{n:,} idle connections: CPU in seconds without pings",
                         "quiet_cpu_percent", "%")], 1)

        n, further = (1000, 5) if self.quick else (5000, 10)

        def bytes_of(key, what, field):
            return Metric(key, f"the worker's memory, {n:,} sessions: {what}", field, "B")

        self.add("idle", [Case("Fanwire", functools.partial(
            measure.session_memory, connections=n, further=further))],
                 [bytes_of("session_memory", "a session", "session_bytes"),
                  bytes_of("session_memory_shared", "its subscription to a channel of all",
                           "shared_channel_bytes"),
                  bytes_of("session_memory_own", "its subscription to a channel of its own",
                           "own_channel_bytes"),
                  bytes_of("session_memory_further", "a further channel of its own",
                           "further_channel_bytes")])

    def targets(self):
        both = [Fanwire, Python]
        self.add("targets", [load_case(s, ["--connections", 1000], 0.1, idle=True) for s in both],
                 [Metric("setup", "connection set-up: p50", "setup_p50_ms", "ms"),
                  Metric("setup_p99", "connection set-up: p99", "setup_p99_ms", "ms")])
        args = ["--connections", 1000, "--rate", 10]
        self.add("targets", [load_case(s, args, self.seconds) for s in both],
                 [Metric("broadcast", "broadcast to 1,000: p50", "p50_ms", "ms"),
                  Metric("thousand_memory", "server's memory with these 1,000 connections",
                         "memory_bytes_end", "B")])
        args = ["--connections", 1000, "--rate", 100]
        self.add("targets", [load_case(s, args, self.seconds) for s in both],
                 [Metric("hundred_each", "100/s on each of 1,000 connections: delivered",
                         "deliveries_per_second", "/s", higher=True)])
        args = ["--connections", 1000, "--window", 16, "--ahead", 2]
        self.add("targets", [load_case(s, args, self.seconds) for s in both],
                 [Metric("most_each", "1,000 connections, as fast as it goes: on each of them",
                         "deliveries_per_second_and_connection", "/s", higher=True)])

    def publish(self):
        seconds = 0.5 if self.quick else 0.8

        def case(name, kind, channels, *more, interest=False, history=None, rounds=0):
            args = ["--kind", kind, "--channels", channels, "--warmup", 0.2, *more]
            return Case(name, functools.partial(measure.publish, args=args, seconds=seconds,
                                                interest=interest, history=history),
                        rounds=rounds)

        def add(key, what, cases, more=(), rounds=None):
            self.add("publish", cases,
                     [Metric(key, f"{what}: accepted", "accepted_per_second", "/s", higher=True),
                      Metric(f"{key}_per_core", f"{what}: accepted per core of control",
                             "accepted_per_core", "/s per core", higher=True),
                      Metric(f"{key}_p99", f"{what}: p99 of receipts", "p99_ms", "ms"), *more],
                     rounds)

        for key, what, kind, more, rounds in (
                ("publish_unary_64", "unary calls, 64 in flight", "unary", ("--in-flight", 64),
                 self.goal_rounds),
                ("publish_batch", "batches of 256, 4 in flight", "batch", ("--in-flight", 4),
                 self.rounds)):
            add(key, what, [case("1,000 channels", kind, 1000, *more),
                            case("1,000 channels, interest", kind, 1000, *more, interest=True)],
                rounds=rounds)

        stream = ("--in-flight", 8)
        what = "stream, messages of 256, 8 in flight"
        counts = (1, 100000) if self.quick else (1, 1000, 10000, 100000)

        def channels_of(count):
            return f"{count:,} channel" + ("s" if count > 1 else "")

        add("publish_stream", f"{what}, full histories of 4",
            [case(channels_of(n), "stream", n, *stream, history=4) for n in counts],
            rounds=self.goal_rounds)
        add("publish_stream_interest", f"{what}, full histories of 4, interest",
            [case(channels_of(n), "stream", n, *stream, history=4, interest=True)
             for n in counts if not self.quick or n > 1])
        if not self.quick:
            add("publish_streams", "4 streams, messages of 256, 8 in flight each, 1,000 channels",
                [case("no interest", "stream", 1000, *stream, "--streams", 4, history=4),
                 case("interest", "stream", 1000, *stream, "--streams", 4, history=4,
                      interest=True)])
        add("publish_cpp", "C++ library, a callback for each receipt, full histories of 4",
            [case(channels_of(n), "library", n, *stream, history=4)
             for n in (1, 1000)],
            rounds=self.goal_rounds)
        add("publish_history", f"{what}, 100 channels",
            [case(f"full histories of {n:,}" if n else "no history", "stream", 100, *stream,
                  history=n) for n in (0, 100, 1000)])
        filling = (100000,) if self.quick else (1000, 10000, 100000)
        most = channels_of(filling[-1])
        add("publish_filling", f"{what}, histories of 1,000 filling",
            [case(channels_of(n), "stream", n, *stream, "--memory") for n in filling],
            [Metric("publish_channel_memory", "control's memory for a channel",
                    "memory_bytes_per_channel", "B", only=most),
             Metric("publish_entry_memory", "control's memory for an entry of history, 512 B",
                    "memory_bytes_per_entry", "B", only=most)])

        sessions, each = (200, 500) if self.quick else (1000, 1000)

        def subscribed(name, channels, sessions, each, rounds=0):
            return case(name, "stream", channels, *stream, "--sessions", sessions,
                        "--session-channels", each, interest=True, history=4, rounds=rounds)

        add("publish_subscriptions", f"{what}, to channels that are subscribed to",
            [subscribed("1 channel, 1 subscription", 1, 1, 1),
             subscribed("1,000 channels, as many subscriptions", 1000, 1, 1000),
             subscribed(f"1,000 channels of {sessions * each:,} with a subscription each", 1000,
                        sessions, each, rounds=min(3, self.goal_rounds))],  # each takes long
            rounds=self.goal_rounds)
        self.add("publish", [Case("4 workers", functools.partial(measure.link, seconds=seconds))],
                 [Metric("link", "control to workers, 512 B: events a second over 4 links together",
                         "link_events_per_second", "/s", higher=True),
                  Metric("link_control", "control to worker: control's CPU for an event",
                         "link_control_us", "us"),
                  Metric("link_worker", "control to worker: worker's CPU for an event",
                         "link_worker_us", "us"),
                  Metric("link_capacity", "control to worker: events a second that the slower end "
                         "could take with a core of its own", "link_capacity", "/s",
                         higher=True)],
                 rounds=self.goal_rounds)
        self.add("publish",
                 [Case(name, functools.partial(measure.publish_python, kind=kind,
                                               seconds=4 * seconds))
                  for name, kind in (("one unary call at a time", "unary"),
                                     ("Publisher", "publisher"), ("AsyncPublisher", "async"))],
                 [Metric("publish_python", "one Python process, 512 B: accepted",
                         "accepted_per_second", "/s", higher=True),
                  Metric("publish_python_cpu", "one Python process, 512 B: its CPU for an event",
                         "publisher_cpu_us", "us")],
                 rounds=self.goal_rounds)
        # As many are under way as keep every queue on the way busy.
        self.add("publish",
                 [load_case(Fanwire, ["--connections", 1, "--window", 256, "--ahead", 4], seconds,
                            name="1 subscriber")],
                 [Metric("link_deliver", "stream to one subscriber, 1,024 under way: delivered",
                         "deliveries_per_second", "/s", higher=True)])

        def curve(key, title, unit, field, rows, xs):
            self.curves.append(Curve(
                key, "publish", title, "channels", unit, field,
                {label: [(x, row, channels_of(x)) for x in xs] for label, row in rows.items()}))

        full = {"no interest": "publish_stream", "interest": "publish_stream_interest"}
        curve("publish_growth_rate", "events accepted from one stream, histories full", "/s",
              "accepted_per_second", full, counts)
        curve("publish_growth_cpu", "control's CPU for an event, histories full", "us",
              "cpu_us_per_event", full, counts)
        curve("publish_growth_channel_memory", "control's memory for a channel", "B",
              "memory_bytes_per_channel", {"a channel": "publish_filling"}, filling)
        curve("publish_growth_entry_memory", "control's memory for an entry of history, 512 B",
              "B", "memory_bytes_per_entry", {"an entry": "publish_filling"}, filling)

    def channels(self):
        clients, total = (500, 2500) if self.quick else (2000, 10000)

        def case(name, args, seconds=self.seconds):
            return load_case(Fanwire, args, seconds, name=name)

        def mix(each):
            return ["--connections", clients, "--channels-total", total * each // 20,
                    "--channels-each", each]

        def metrics(key, what):
            return [per_core(key, what), Metric(f"{key}_p99", f"{what}: p99", "p99_ms", "ms"),
                    Metric(f"{key}_memory", f"{what}: worker's memory for a subscription",
                           "memory_bytes_per_subscription", "B")]

        self.add("channels", [case("1 channel each", mix(1) + ["--window", 256]),
                              case("20 channels each", mix(20) + ["--window", 256])],
                 metrics("channels_mix", f"{clients:,} clients, 4 on each channel, 256 in flight"))
        self.add("channels", [case("1 channel each", mix(1) + ["--rate", 2000]),
                              case("20 channels each", mix(20) + ["--rate", 2000])],
                 [Metric("channels_mix_rate_p50", f"{clients:,} clients, 2,000 publications/s: p50",
                         "p50_ms", "ms"),
                  Metric("channels_mix_rate_p99", f"{clients:,} clients, 2,000 publications/s: p99",
                         "p99_ms", "ms")])
        sessions, each, total = (200, 500, 10000) if self.quick else (1000, 1000, 100000)
        self.add("channels",
                 [case(f"{each:,} channels each",
                       ["--connections", sessions, "--channels-total", total, "--channels-each",
                        each, "--in-flight", 16, "--window", 256])],
                 metrics("channels_million",
                         f"{sessions * each:,} subscriptions of {sessions:,} sessions on {total:,} "
                         "channels") +
                 [Metric("channels_million_subscribes", "the same: subscribes",
                         "subscribes_per_second", "/s", higher=True)])
        self.add("channels",
                 [case("by name, 1 channel", ["--connections", 200, "--window", 64]),
                  case("by bench:*, 10,000 channels",
                       ["--connections", 200, "--channels-total", 10000, "--pattern",
                        "--window", 64])],
                 [per_core("channels_pattern", "200 subscribers, 64 in flight")])

    def fairness(self):
        n = 2000 if self.quick else 10000
        rate = 20 if self.quick else 5
        clients, channels = (500, 2500) if self.quick else (2000, 10000)
        seconds = self.seconds if self.quick else 2
        wide = ["--connections", n]
        full = [*wide, "--window", 32, "--ahead", 2]  # 32 to 64 are always under way
        paced = [*wide, "--rate", rate]
        large = ["--connections", 20, "--payload", 900_000, "--rate", 10]
        many = ["--connections", clients, "--channels-total", channels, "--channels-each", 20,
                "--rate", 5000]

        def case(name, service=None, flood=()):
            return Case(name, functools.partial(measure.fairness, flood_service=service,
                                                flood_args=flood, seconds=seconds))

        cases = [case("alone"),
                 case(f"{n:,} x {rate}/s, same service", "bench", paced),
                 case(f"{n:,} x {rate}/s, other service", "other", paced),
                 case(f"{channels:,} channels, 5,000/s, other service", "other", many),
                 case("20 x 10/s of 900 KB, other service", "other", large),
                 case(f"{n:,}, as fast as it goes, same service", "bench", full),
                 case(f"{n:,}, as fast as it goes, other service", "other", full)]
        if self.quick:
            cases = cases[:1] + cases[2:6]
        self.add("fairness", cases,
                 [Metric("fairness_p50", "quiet channels beside a flood: p50", "p50_ms", "ms"),
                  Metric("fairness_p99", "quiet channels beside a flood: p99", "p99_ms", "ms")])

    def floods(self):
        def case(name, kind=None):
            return Case(name, functools.partial(measure.flooded, kind=kind,
                                                seconds=1 if self.quick else 4))

        self.add("floods", [case("alone"), case("50 flood a sink", "sink"),
                            case("50 flood messages", "messages"),
                            case("50 flood pings", "pings"),
                            case("50 ask for histories of 1,000", "history")],
                 [Metric("floods_p50", "quiet channels beside flooding clients: p50", "p50_ms",
                         "ms"),
                  Metric("floods_p99", "quiet channels beside flooding clients: p99", "p99_ms",
                         "ms")], references=2)

    def workers(self):
        n = 1000
        self.add("workers", [Case("2 workers", functools.partial(measure.spread, connections=n))],
                 [Metric("workers_spread", f"{n:,} connections over two workers: on the one with "
                         "fewer", "fewest", "", higher=True),
                  Metric("workers_spread_most", f"{n:,} connections over two workers: on the one "
                         "with more", "most", "")])
        for window in (16,) if self.quick else (1, 16):
            args = ["--connections", 1000, "--window", window]
            key = f"workers_1000_w{window}"
            what = f"fan-out to 1,000, 512 B, {window} in flight"
            self.add("workers", [load_case(s, args, self.seconds) for s in (FanwireFree,
                                                                             FanwireTwo)],
                     [Metric(key, f"{what}: delivered", "deliveries_per_second", "/s",
                             higher=True),
                      per_core(f"{key}_per_core", f"{what}: per core of the workers")])
            self.shares.append(Shares(
                f"{key}_shares", "workers", f"{what}: whose CPU a delivery takes", "ns", key,
                {"workers": "ns_per_delivery", "control": "control_ns_per_delivery",
                 "load generator": "generator_ns_per_delivery"}))
