"""What of the benchmark's results is committed: see publish_docs.py."""
import pathlib
import re
import tempfile
import unittest

import publish_docs
import report

PAGE = """All rows are in [the table](performance/results.md).
![deliveries](performance/fanout.svg)
Where the time goes: [a worker](performance/flame_worker.svg), [why](adr/other.md).
"""


class PublishTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source = pathlib.Path(folder.name, "build")
        self.target = pathlib.Path(folder.name, "docs")
        self.write(self.source, "results.md", "results.json", "micro.json", "fanout.svg",
                   "idle.svg", "flame_worker.svg", text="new")

    @staticmethod
    def write(folder, *names, text):
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text(text)

    def publish(self, what, page=PAGE):
        return publish_docs.publish(what, page, self.source, self.target)

    def published(self):
        return {p.name: p.read_text() for p in self.target.iterdir()}

    def test_copies_the_table_and_the_plots_that_the_page_links_to_and_nothing_else(self):
        self.assertEqual(self.publish("results"), ["fanout.svg", "results.md"])
        self.assertEqual(self.published(), {"fanout.svg": "new", "results.md": "new"})

    def test_removes_what_the_page_no_longer_links_to(self):
        self.write(self.target, "results.md", "idle.svg", "results.json", text="old")
        self.publish("results")
        self.assertEqual(self.published(), {"fanout.svg": "new", "results.md": "new"})

    def test_results_leave_the_flame_graphs_as_they_are(self):
        self.write(self.target, "flame_worker.svg", "results.md", text="old")
        self.publish("results")
        self.assertEqual(self.published(),
                         {"flame_worker.svg": "old", "fanout.svg": "new", "results.md": "new"})

    def test_flame_graphs_leave_the_results_as_they_are(self):
        self.write(self.target, "flame_worker.svg", "results.md", text="old")
        self.assertEqual(self.publish("flames"), ["flame_worker.svg"])
        self.assertEqual(self.published(), {"flame_worker.svg": "new", "results.md": "old"})

    def test_changes_nothing_if_a_plot_is_missing(self):
        self.write(self.target, "results.md", "idle.svg", text="old")
        (self.source / "fanout.svg").unlink()
        with self.assertRaisesRegex(publish_docs.Refused, "fanout.svg"):
            self.publish("results")
        self.assertEqual(self.published(), {"results.md": "old", "idle.svg": "old"})

    def test_refuses_a_page_with_more_than_eight_pictures(self):
        plots = [f"plot{n}.svg" for n in range(9)]
        self.write(self.source, *plots, text="new")
        page = "".join(f"![](performance/{name})\n" for name in plots)
        with self.assertRaisesRegex(publish_docs.Refused, "9 pictures, 8 at most"):
            self.publish("results", page)
        self.assertFalse(self.target.exists())


class CommittedTest(unittest.TestCase):
    """The files in docs/performance/ as they are in this checkout."""

    def test_the_folder_holds_exactly_what_the_page_links_to(self):
        names = publish_docs.linked(publish_docs.PAGE.read_text())
        self.assertEqual({p.name for p in publish_docs.TARGET.iterdir()}, names)
        self.assertIn("results.md", names)
        self.assertLessEqual(len(names - {"results.md"}), publish_docs.MOST_PICTURES)

    def test_the_table_links_to_no_other_file(self):
        text = (publish_docs.TARGET / "results.md").read_text()
        self.assertEqual(re.findall(r"\]\([^)]*\)", text), [])


class ReportTest(unittest.TestCase):
    def test_the_table_of_a_run_links_to_no_other_file(self):
        about = {"command": "run.sh", "date": "2026-01-01", "cores": 2, "kernel": "6", "seconds": 1}
        points = [{"x": x, "median": 1, "min": 1, "max": 1} for x in (1, 10)]
        outcome = {
            "rows": [{"key": "row", "group": "fanout", "title": "Row", "unit": "/s", "faults": {},
                      "references": ["a"], "ratios": {"a": {"a": 1.0}},
                      "values": {"a": {"median": 1, "min": 1, "max": 1}}}],
            "curves": [{"key": "curve", "group": "fanout", "title": "Curve", "x_label": "x",
                        "unit": "ns", "series": {"a": points}}],
            "shares": [{"key": "shares", "group": "fanout", "title": "Shares", "unit": "ns",
                        "values": {"a": {"workers": 1}}}],
            "micro": None,
        }
        text = report.page(about, outcome)
        for title in ("Row", "Curve", "Shares"):
            self.assertIn(f"| {title} |", text)
        self.assertEqual(re.findall(r"\]\([^)]*\)", text), [])


if __name__ == "__main__":
    unittest.main()
