"""Judges the journals of a run with faults; knows nothing of how Fanwire works inside.

A journal has a JSON object a line, with `kind`, `t` (seconds of the monotonic clock, which all
journals of a run share) and, according to the kind:

  sent          publisher, channel, id, n, hash: the publisher is about to publish the event for the
                first time.  `n` counts the events of a publisher on a channel, in its order
  receipt       id, channel, epoch, offset; level, matched and written if it waited for WRITTEN
  outcome       id, error: refused, or given up without a receipt
  opened, closed   client, connection: the client's connection is there, or is gone
  subscribed    client, connection, channel, epoch, offset, recovering, recovered
  event         client, connection, channel, id, hash, epoch, offset
  gap           client, connection, channel, reason, epoch, last: events up to `last` are missing
  control       control was started once more
  final         channel, epoch, offset: the channel's last position, after everything was quiet
  ledger        service, difference, queued, after everything was quiet
  resources     process, pid, when ("start" or "end"), rss_kb, descriptors
  stats         client, repairs: losses that a library saw and the server had not told
  client        client, channels, role: "recovering" (exact channels; everything or a gap),
                "auditor" (likewise, from the epoch's beginning, after the end) or "pattern" (what
                comes on each connection is in order and complete)
"""
import collections
import json
import pathlib

# A connection that a client has lost may count as a subscriber until its worker has noticed.
STALE_SECONDS = 20
RSS_GROWTH_KB = 96 * 1024
DESCRIPTOR_GROWTH = 16


class Rules:
    """What an engine promises.

    epochs_stay     a channel keeps its epoch over each fault of the suite
    gaps            reasons of gaps that recovering clients may be told
    repeats         what is sent again after a restart of control may be published again
    """

    def __init__(self, epochs_stay, gaps, repeats=False):
        self.epochs_stay = epochs_stay
        self.gaps = frozenset(gaps)
        self.repeats = repeats


RULES = {
    "memory": Rules(False, ["epoch_changed"]),
    "rocksdb": Rules(True, []),
    "rocksdb-sync": Rules(True, []),
    "redis": Rules(True, [], repeats=True),
}


def read(folder):
    """Returns the lines of all journals in a folder: for each file in order."""
    lines = []
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        with open(path, encoding="utf-8") as file:
            lines += [json.loads(line) for line in file]
    return lines


class Checker:
    """check() returns the problems as texts, at most `limit` of each kind."""

    def __init__(self, rules, limit=10):
        self._rules = rules
        self._limit = limit
        self._counts = collections.Counter()
        self._problems = []

    def check(self, lines):
        by_kind = collections.defaultdict(list)
        for line in lines:
            by_kind[line["kind"]].append(line)
        self._sent = {line["id"]: line for line in by_kind["sent"]}
        self._final = {line["channel"]: line for line in by_kind["final"]}
        self._check_positions(by_kind)
        self._check_epochs(by_kind)
        self._check_publishers_order()
        self._check_clients(by_kind)
        self._check_written(by_kind)
        self._check_rest(by_kind)
        for kind, count in self._counts.items():
            if count > self._limit:
                self._problems.append(f"{kind}: {count - self._limit} more")
        return self._problems

    def _problem(self, kind, text):
        self._counts[kind] += 1
        if self._counts[kind] <= self._limit:
            self._problems.append(f"{kind}: {text}")

    # ------------------------------------------------------------------------- events, positions

    def _check_positions(self, by_kind):
        """A position is of one event, an event has one position an epoch, nothing is invented."""
        self._at = {}  # (channel, epoch, offset) -> id
        self._places = collections.defaultdict(set)  # id -> positions
        for line in [*by_kind["receipt"], *by_kind["event"]]:
            place = (line["channel"], line["epoch"], line["offset"])
            who = line.get("client", "receipt")
            sent = self._sent.get(line["id"])
            if sent is None:
                self._problem("invented", f"{who}: nobody has published {line['id']} ({place})")
                continue
            if line["channel"] != sent["channel"]:
                self._problem("invented", f"{who}: {line['id']} belongs to {sent['channel']}, "
                                          f"not to {line['channel']}")
            if line.get("hash", sent["hash"]) != sent["hash"]:
                self._problem("changed", f"{who}: the data of {line['id']} at {place}")
            if self._at.setdefault(place, line["id"]) != line["id"]:
                self._problem("position reused", f"{who}: {place} is of {self._at[place]} "
                                                 f"and of {line['id']}")
            self._places[line["id"]].add(place)
        for event, places in self._places.items():
            if self._rules.repeats:
                break
            epochs = {place[1] for place in places}
            if len(places) > (1 if self._rules.epochs_stay else len(epochs)):
                self._problem("published twice", f"{event} is at {sorted(places)}")

    def _check_epochs(self, by_kind):
        epochs = collections.defaultdict(set)
        for channel, epoch, _ in self._at:
            epochs[channel].add(epoch)
        allowed = 1 if self._rules.epochs_stay else max(1, len(by_kind["control"]))
        for channel, names in epochs.items():
            if len(names) > allowed:
                self._problem("epochs", f"{channel} had {len(names)}, at most {allowed} can be")

    def _check_publishers_order(self):
        """The events of one publisher on a channel have positions in the order of sending."""
        numbers = collections.defaultdict(list)
        for (channel, epoch, offset), event in self._at.items():
            sent = self._sent.get(event)
            if sent is not None:
                numbers[sent["publisher"], channel, epoch].append((offset, sent["n"]))
        for (publisher, channel, epoch), pairs in numbers.items():
            pairs.sort()
            if self._rules.repeats:
                first = {}
                for offset, n in pairs:
                    first.setdefault(n, offset)
                pairs = sorted((offset, n) for n, offset in first.items())
            for (_, before), (offset, n) in zip(pairs, pairs[1:]):
                if n <= before:
                    self._problem("publisher's order", f"{publisher} on {channel}: {n} is behind "
                                                       f"{before} at {epoch} {offset}")

    # ------------------------------------------------------------------------- clients

    def _check_clients(self, by_kind):
        lines = collections.defaultdict(list)
        for line in self._of_clients(by_kind):
            lines[line["client"], line["channel"]].append(line)
        for client in by_kind["client"]:
            if client["role"] == "pattern":
                for (name, channel), items in lines.items():
                    if name == client["client"]:
                        self._check_pattern(name, channel, items)
                continue
            for channel in client["channels"]:
                name = client["client"]
                self._check_recovering(name, channel, lines[name, channel],
                                       client["role"] == "auditor")

    @staticmethod
    def _of_clients(by_kind):
        """In the order in which each client wrote them."""
        every = [*by_kind["subscribed"], *by_kind["event"], *by_kind["gap"]]
        return sorted(every, key=lambda line: line["t"])

    def _check_recovering(self, client, channel, items, is_auditor):
        where = f"{client} on {channel}"
        position = None  # (epoch, offset): everything up to there is delivered or told as missing
        for item in items:
            epoch = item.get("epoch")
            if item["kind"] == "subscribed":
                if position is None:
                    position = (epoch, item["offset"])
                continue
            if position is None:
                self._problem("not subscribed", f"{where}: {item['kind']} came before")
                position = (epoch, item.get("offset", item.get("last", 0)) - 1)
            if item["kind"] == "gap":
                if item["reason"] not in self._rules.gaps:
                    self._problem("gap", f"{where}: {item['reason']} after {position}")
                if epoch == position[0] and item["last"] < position[1]:
                    self._problem("gap", f"{where}: goes back from {position} to {item['last']}")
                position = (epoch, item["last"])
                continue
            place = (epoch, item["offset"])
            if epoch != position[0]:
                self._problem("epoch changed without notice", f"{where}: {position}, then {place}")
            elif place[1] <= position[1]:
                again = self._at.get((channel, *place)) == item["id"]
                self._problem("duplicate or reordered", f"{where}: {place} after {position}"
                              + ("" if again else ", another event"))
                continue
            elif place[1] != position[1] + 1:
                self._problem("lost", f"{where}: {position[1] + 1} to {place[1] - 1} of {epoch}")
            position = place
        final = self._final.get(channel)
        if final is None:
            self._problem("no final position", channel)
        elif position is None:
            self._problem("lost", f"{where}: was never subscribed")
        elif position != (final["epoch"], final["offset"]):
            self._problem("lost", f"{where}: has {position} at the end, "
                                  f"{(final['epoch'], final['offset'])} is the last one")
        if is_auditor:
            self._check_audit(where, channel, items)

    def _check_audit(self, where, channel, items):
        """Every accepted event of the last epoch is kept; where epochs stay, that is all."""
        kept = {item["id"] for item in items if item["kind"] == "event"}
        final = self._final.get(channel)
        for (of, epoch, offset), event in self._at.items():
            if of == channel and final and epoch == final["epoch"] and event not in kept:
                self._problem("lost", f"{where}: {event} was accepted at {epoch} {offset}, "
                                      "and is not kept")

    def _check_pattern(self, client, channel, items):
        """On one connection, in order, and each event up to the last or a notice."""
        position = {}
        for item in items:
            if item["kind"] == "subscribed":
                continue
            where = f"{client} on {channel}, connection {item['connection']}"
            before = position.get(item["connection"])
            now = (item["epoch"], item.get("offset", item.get("last")))
            if item["kind"] == "event" and before is not None:
                if now[0] != before[0]:
                    self._problem("epoch changed without notice", f"{where}: {before}, {now}")
                elif now[1] <= before[1]:
                    self._problem("duplicate or reordered", f"{where}: {now} after {before}")
                elif now[1] != before[1] + 1:
                    self._problem("lost", f"{where}: between {before} and {now}")
            position[item["connection"]] = now

    # ------------------------------------------------------------------------- counts

    def _check_written(self, by_kind):
        """WRITTEN counts no more sessions than there were connections of clients."""
        closed = {line["connection"]: line["t"] for line in by_kind["closed"]}
        spans = [(line["t"], closed.get(line["connection"], float("inf")) + STALE_SECONDS)
                 for line in by_kind["opened"]]
        for line in by_kind["receipt"]:
            if line.get("level") != "written":
                continue
            if line["written"] > line["matched"]:
                self._problem("written", f"{line['id']}: {line['written']} of {line['matched']}")
            sent = self._sent.get(line["id"])
            since = sent["t"] if sent else line["t"]
            clients = sum(start <= line["t"] and end >= since for start, end in spans)
            if line["written"] > clients:
                self._problem("written", f"{line['id']}: {line['written']} sessions; there were "
                                         f"{clients} connections")

    def _check_rest(self, by_kind):
        answered = {line["id"] for line in [*by_kind["receipt"], *by_kind["outcome"]]}
        for event in self._sent:
            if event not in answered:
                self._problem("no outcome", f"{event}: neither receipt nor refusal")
        for line in by_kind["ledger"]:
            if line["difference"] or line["queued"]:
                self._problem("ledger", f"{line['service']}: difference {line['difference']}, "
                                        f"{line['queued']} queued")
        for line in by_kind["stats"]:
            if line["repairs"]:
                self._problem("lost", f"{line['client']}: the library saw {line['repairs']} losses "
                                      "that no notice told of")
        start = {line["pid"]: line for line in by_kind["resources"] if line["when"] == "start"}
        for line in by_kind["resources"]:
            before = start.get(line["pid"])
            if line["when"] != "end" or before is None:
                continue
            if line["rss_kb"] > before["rss_kb"] + RSS_GROWTH_KB:
                self._problem("memory", f"{line['process']}: {before['rss_kb']} KiB, then "
                                        f"{line['rss_kb']}")
            if line["descriptors"] > before["descriptors"] + DESCRIPTOR_GROWTH:
                self._problem("descriptors", f"{line['process']}: {before['descriptors']}, then "
                                             f"{line['descriptors']}")
