"""The checker of the fault suite finds each kind of fault in journals that were made up."""
import copy
import itertools
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from checker import RULES, Checker  # noqa: E402


def journal():
    """A run without a fault: five events of one publisher, a client, a pattern and an auditor."""
    clock = itertools.count(1)
    lines = [{"kind": "control"}]
    for client, role in (("c", "recovering"), ("p", "pattern"), ("a", "auditor")):
        lines.append({"kind": "client", "client": client, "role": role, "channels": ["x"]})
        lines.append({"kind": "opened", "client": client, "connection": client + "1"})
        lines.append({"kind": "subscribed", "client": client, "connection": client + "1",
                      "channel": "x", "epoch": "E", "offset": 0, "recovering": False,
                      "recovered": False})
    for n in range(1, 6):
        lines.append({"kind": "sent", "publisher": "P", "channel": "x", "id": f"e{n}", "n": n,
                      "hash": f"h{n}"})
        lines += [event(client, n) for client in "cpa"]
        lines.append({"kind": "receipt", "id": f"e{n}", "channel": "x", "epoch": "E", "offset": n,
                      "level": "written", "matched": 3, "written": 3})
    lines.append({"kind": "final", "channel": "x", "epoch": "E", "offset": 5})
    lines.append({"kind": "ledger", "service": "s", "difference": 0, "queued": 0})
    for when in ("start", "end"):
        lines.append({"kind": "resources", "process": "control", "pid": 1, "when": when,
                      "rss_kb": 1000, "descriptors": 20})
    lines.append({"kind": "stats", "client": "c", "repairs": 0})
    return [{**line, "t": next(clock)} for line in lines]


def event(client, n, epoch="E", offset=None):
    return {"kind": "event", "client": client, "connection": client + "1", "channel": "x",
            "id": f"e{n}", "hash": f"h{n}", "epoch": epoch, "offset": offset or n}


class CheckerTest(unittest.TestCase):
    def setUp(self):
        self.lines = journal()

    def find(self, kind, **keys):
        return next(line for line in self.lines if line["kind"] == kind
                    and all(line.get(key) == value for key, value in keys.items()))

    def after(self, line, new):
        """Puts a new line behind a line."""
        self.lines.append({**new, "t": line["t"] + 0.5})

    def change_epoch(self, client, first=4):
        """From the event `first` on, the channel has the epoch F."""
        self.lines.append({"kind": "control", "t": 0})
        for line in self.lines:
            if (line["kind"] in ("event", "receipt", "final")
                    and line.get("client") in (None, client)
                    and line["offset"] >= first):
                line["epoch"], line["offset"] = "F", line["offset"] - first + 1
        # Others left before.
        self.lines = [line for line in self.lines if line.get("client") in (None, client)]

    def assert_found(self, kind, engine="rocksdb"):
        problems = Checker(RULES[engine]).check(copy.deepcopy(self.lines))
        self.assertTrue(any(problem.startswith(kind + ":") for problem in problems), problems)

    def assert_clean(self, engine):
        self.assertEqual(Checker(RULES[engine]).check(self.lines), [])

    def test_nothing_is_found_where_nothing_is_wrong(self):
        for engine in RULES:
            with self.subTest(engine=engine):
                self.assert_clean(engine)

    def test_loss_in_the_middle(self):
        for client in "cpa":
            with self.subTest(client=client):
                self.lines = journal()
                self.lines.remove(self.find("event", client=client, offset=3))
                self.assert_found("lost")

    def test_loss_at_the_end(self):
        for client in "ca":
            with self.subTest(client=client):
                self.lines = journal()
                self.lines.remove(self.find("event", client=client, offset=5))
                self.assert_found("lost")

    def test_a_client_that_got_nothing(self):
        self.lines = [line for line in self.lines
                      if line["kind"] not in ("event", "subscribed") or line["client"] != "c"]
        self.assert_found("lost")

    def test_an_accepted_event_that_is_gone(self):
        """Nobody was sent it, and the position counts as never given."""
        for line in list(self.lines):
            if line["kind"] in ("event", "final") and line["offset"] == 5:
                self.lines.remove(line)
        self.lines.append({"kind": "final", "channel": "x", "epoch": "E", "offset": 4, "t": 1000})
        self.assert_found("lost")

    def test_duplicate(self):
        for client in "cpa":
            with self.subTest(client=client):
                self.lines = journal()
                line = self.find("event", client=client, offset=3)
                self.after(line, line)
                self.assert_found("duplicate or reordered")

    def test_reorder(self):
        for client in "cp":
            with self.subTest(client=client):
                self.lines = journal()
                a, b = (self.find("event", client=client, offset=n) for n in (3, 4))
                a["t"], b["t"] = b["t"], a["t"]
                self.assert_found("duplicate or reordered")

    def test_an_event_that_nobody_published(self):
        line = self.find("event", client="c", offset=5)
        self.after(line, event("c", 99, offset=6))
        self.find("final")["offset"] = 6
        self.assert_found("invented")

    def test_an_event_on_another_channel(self):
        self.after(self.find("event", client="p", offset=5), {**event("p", 2), "channel": "y"})
        self.assert_found("invented")

    def test_changed_data(self):
        self.find("event", client="c", offset=2)["hash"] = "other"
        self.assert_found("changed")

    def test_a_new_epoch_with_notice(self):
        self.change_epoch("c")
        self.after(self.find("event", client="c", id="e3"), {
            "kind": "gap", "client": "c", "connection": "c1", "channel": "x",
            "reason": "epoch_changed", "epoch": "F", "last": 0})
        for line in self.lines:
            if line["kind"] == "receipt":
                line["level"] = "accepted"
        self.assert_clean("memory")
        self.assert_found("gap", "rocksdb")
        self.assert_found("epochs", "rocksdb")

    def test_a_new_epoch_without_notice(self):
        for client in "cp":
            with self.subTest(client=client):
                self.lines = journal()
                self.change_epoch(client)
                self.assert_found("epoch changed without notice", "memory")

    def test_more_epochs_than_controls(self):
        self.change_epoch("c")
        self.lines.remove(self.find("control", t=0))
        self.assert_found("epochs", "memory")

    def test_a_reused_position(self):
        """The fault may be between two receipts, between two clients, or between both."""
        self.find("receipt", offset=4)["offset"] = 3
        self.assert_found("position reused", "memory")
        self.lines = journal()
        line = self.find("event", client="p", offset=4)
        line["id"], line["hash"] = "e3", "h3"
        self.assert_found("position reused", "memory")

    def test_an_event_that_is_published_twice(self):
        self.after(self.find("event", client="p", offset=5), event("p", 2, offset=6))
        self.assert_found("published twice", "memory")
        self.assert_found("published twice")

    def test_events_of_a_publisher_in_another_order(self):
        self.find("sent", id="e2")["n"], self.find("sent", id="e3")["n"] = 3, 2
        self.assert_found("publisher's order")

    def test_a_repeat_is_a_fault_unless_the_engine_forgets_what_was_sent(self):
        self.lines += [dict(line, offset=line["offset"] + 1000) for line in self.lines
                       if line["kind"] == "receipt"][:1]
        self.assert_found("published twice")
        self.assertNotIn("published twice", " ".join(
            Checker(RULES["redis"]).check(copy.deepcopy(self.lines))))

    def test_a_gap_that_the_engine_must_not_have(self):
        self.lines.remove(self.find("event", client="c", offset=3))
        self.after(self.find("event", client="c", offset=2), {
            "kind": "gap", "client": "c", "connection": "c1", "channel": "x",
            "reason": "history_expired", "epoch": "E", "last": 3})
        self.assert_found("gap", "memory")
        self.assert_found("gap")

    def test_more_written_than_clients(self):
        self.find("receipt", offset=2).update(matched=4, written=4)
        self.assert_found("written")

    def test_more_written_than_matched(self):
        self.find("receipt", offset=2).update(matched=2)
        self.assert_found("written")

    def test_a_connection_that_ended_long_ago_is_no_client(self):
        opened = self.find("opened", client="p")
        self.lines.append({"kind": "closed", "client": "p", "connection": "p1",
                           "t": opened["t"] - 100})
        self.assert_found("written")

    def test_an_event_without_an_outcome(self):
        self.lines.remove(self.find("receipt", offset=2))
        self.assert_found("no outcome")

    def test_no_final_position(self):
        self.lines.remove(self.find("final"))
        self.assert_found("no final position")

    def test_the_ledger(self):
        for key in ("difference", "queued"):
            with self.subTest(key=key):
                self.lines = journal()
                self.find("ledger")[key] = 1
                self.assert_found("ledger")

    def test_what_the_library_had_to_repair(self):
        self.find("stats")["repairs"] = 1
        self.assert_found("lost")

    def test_memory_and_descriptors_that_grow(self):
        self.find("resources", when="end")["rss_kb"] += 1 << 20
        self.assert_found("memory")
        self.find("resources", when="end")["descriptors"] += 100
        self.assert_found("descriptors")

    def test_only_the_first_problems_of_a_kind_are_told(self):
        for line in self.lines:
            if line["kind"] == "event":
                line["hash"] = "other"
        problems = Checker(RULES["memory"], limit=3).check(self.lines)
        self.assertEqual(len(problems), 4)
        self.assertEqual(problems[-1], "changed: 12 more")


if __name__ == "__main__":
    unittest.main()
