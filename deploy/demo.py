#!/usr/bin/python3
"""Publishes a realistic stream of events through the library in clients/python: workflows that
advance, pools that scale, tests that run, people who draw.

  deploy/demo.py                 endless, in real time
  deploy/demo.py --events 500    500 events, without pauses
  deploy/demo.py --seed 7        the same stream each time
  deploy/demo.py --print         prints the events, one JSON object a line, as
                                 `wsctl publish --batch -` reads them

The variable FANWIRE_SERVER says which control; see docs/publishing.md.

Every event of the catalog (docs/events.md) occurs within the first minutes.

Each actor below is a generator: it yields an event to publish, or a number of seconds to wait.
"""
import argparse
import datetime
import heapq
import itertools
import json
import logging
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients/python/src"))

STAGES = ["plan", "fetch_sources", "analyse", "write_code", "run_tests", "review", "report"]
PROMPTS = ["Summarise last night's failures", "Refactor the billing adapter",
           "Find duplicate tests", "Write release notes", "Migrate the cache to the new API"]
ADAPTERS = ["llamaindex", "prefect", "agno", "worker"]
SKILLS = ["code-review", "refactor", "test-writer", "docs", "bug-hunt", "migrate", "triage"]
PROJECTS = ["mahavishnu", "akosha", "crackerjack", "session-buddy", "fastblocks"]
USERS = ["ana", "bela", "chen", "dara"]


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def event(service, channel, name, **data):
    return {"service": service, "channel": channel, "event": name,
            "data": {**data, "timestamp": now()}}


class Names:
    """Makes ids that look like real ones and never repeat."""

    def __init__(self, rng):
        self._rng = rng
        self._count = itertools.count(1)

    def new(self, prefix):
        return f"{prefix}_{next(self._count):04d}_{self._rng.randrange(16**4):04x}"


# ------------------------------------------------------------------------------- mahavishnu

def workflow(rng, names):
    workflow_id = names.new("wf")
    channel = f"workflow:{workflow_id}"

    def say(name, **data):
        return event("mahavishnu", channel, name, workflow_id=workflow_id, **data)

    yield say("workflow.started", prompt=rng.choice(PROMPTS), adapter=rng.choice(ADAPTERS),
              total_stages=len(STAGES))
    for number, stage in enumerate(STAGES, 1):
        yield say("workflow.stage_started", stage_name=stage)
        yield rng.uniform(0.3, 1.5)
        if rng.random() < 0.04:
            yield say("workflow.failed", error=f"{stage}: no answer after 30 s", failed_stage=stage)
            return
        yield say("workflow.stage_completed", stage_name=stage,
                  result={"ok": True, "items": rng.randrange(1, 40)},
                  progress=round(100 * number / len(STAGES)))
    yield say("workflow.completed", result={"ok": True, "tokens": rng.randrange(2000, 90000)},
              duration_seconds=round(rng.uniform(4, 12), 2))


def pool(rng, names):
    pool_id = rng.choice(["pool_local", "pool_gpu", "pool_" + rng.choice(USERS)])
    channel = f"pool:{pool_id}"
    workers = []

    def say(name, **data):
        return event("mahavishnu", channel, name, pool_id=pool_id, **data)

    def status(state):
        return say("pool.status_changed", status={
            "state": state, "worker_count": len(workers), "active_workers": len(workers) // 2,
            "idle_workers": len(workers) - len(workers) // 2, "queue_size": rng.randrange(20),
            "tasks_completed": rng.randrange(1000)})

    yield say("pool.spawned", config={"pool_type": "mahavishnu", "min_workers": 1,
                                      "max_workers": 6})
    for _ in range(rng.randrange(2, 5)):
        workers.append(names.new("worker"))
        yield say("worker.added", worker_id=workers[-1])
        yield say("worker.status_changed", worker_id=workers[-1], status="idle")
        yield 0.3
    yield say("pool.scaling", event_type="scaled_up", worker_count=len(workers))
    yield say("pool.scaled", worker_count=len(workers))
    yield status("running")
    for _ in range(rng.randrange(6, 12)):
        worker = rng.choice(workers)
        task_id = names.new("task")
        yield say("task.assigned", worker_id=worker, task_id=task_id,
                  task={"task_id": task_id, "task_type": rng.choice(SKILLS)})
        yield say("worker.status_changed", worker_id=worker, status="busy")
        yield rng.uniform(0.2, 1.2)
        success = rng.random() > 0.08
        yield say("task.completed", worker_id=worker, task_id=task_id,
                  result={"success": success})
        yield say("worker.status_changed", worker_id=worker,
                  status="idle" if success else "error")
        if rng.random() < 0.3:
            yield status("running")
    for worker in workers:
        yield say("worker.removed", worker_id=worker)
    workers.clear()
    yield say("pool.closed")


def goal_team(rng, names):
    team_id = names.new("team")
    user = rng.choice(USERS)
    goal = rng.choice(PROMPTS)
    steps = [
        ("team.parsed", dict(goal=goal, intent="improve", skills=rng.sample(SKILLS, 3),
                             confidence=round(rng.uniform(0.6, 0.99), 3))),
        ("team.created", dict(team_id=team_id, team_name=f"{user}'s team", goal=goal,
                              mode=rng.choice(["coordinate", "route", "broadcast",
                                               "collaborate"]))),
        ("team.execution_started", dict(team_id=team_id, task=goal)),
    ]
    if rng.random() < 0.25:
        steps.append(("team.error", dict(team_id=team_id, error_code="TIMEOUT",
                                         message="a member did not answer")))
    steps.append(("team.execution_completed", dict(
        team_id=team_id, success=len(steps) == 3,
        duration_ms=round(rng.uniform(500, 9000), 2))))
    for name, data in steps:
        for channel in ("goal-teams", f"goal-teams:{user}"):
            yield event("mahavishnu", channel, name, **data)
        yield rng.uniform(0.4, 1.5)


def adapters(rng, names):
    adapter = rng.choice(ADAPTERS)
    adapter_id = names.new("adapter")

    def say(name, **data):
        return event("mahavishnu", "adapters", name, **data)

    yield say("adapter.registered", adapter_id=adapter_id, adapter_name=adapter,
              capabilities=rng.sample(SKILLS, 2), provider="bodai", source="entry_point")
    yield say("adapter.enabled", adapter_id=adapter_id, adapter_name=adapter, enabled=True,
              reason=None)
    yield say("worker.availability_changed", worker_type=adapter, state="ready",
              reason_bucket="ready", probe_at=now())
    for _ in range(4):
        yield rng.uniform(0.5, 2)
        yield say("adapter.routing_decision", task_type=rng.choice(SKILLS),
                  selected_adapter=adapter, capabilities_matched=rng.sample(SKILLS, 1),
                  latency_ms=round(rng.uniform(0.2, 9), 2), fallback_used=rng.random() < 0.1)
    yield say("adapter.health_changed", adapter_id=adapter_id, adapter_name=adapter,
              old_status="healthy", new_status="degraded", details={"errors": rng.randrange(9)})
    yield event("mahavishnu", "global", "adapter.health_changed", adapter=adapter,
                is_healthy=False, status="degraded", consecutive_failures=rng.randrange(1, 4),
                details={})
    yield say("adapter.disabled", adapter_id=adapter_id, adapter_name=adapter, enabled=False,
              reason="maintenance")
    yield 3.0


def ecosystem(rng, names):
    channel = "symbiotic:ecosystem"
    yield event("mahavishnu", channel, "learning.metrics",
                patterns_strengthened=rng.randrange(20), patterns_weakened=rng.randrange(5),
                model_retrains=rng.randrange(2), avg_confidence_score=round(rng.random(), 3))
    yield event("mahavishnu", channel, "skill.effectiveness", skill_name=rng.choice(SKILLS),
                success_rate=round(rng.uniform(0.5, 1), 3), total_attempts=rng.randrange(1, 90),
                avg_confidence=round(rng.random(), 3))
    yield event("mahavishnu", channel, "strategy.recommender",
                recommendations_made=rng.randrange(30), high_confidence_count=rng.randrange(9),
                avg_success_rate=round(rng.random(), 3))
    yield 4.0


# ----------------------------------------------------------------------------------- akosha

def insights(rng, names):
    kind = rng.choice(["usage", "latency", "error"])
    yield event("akosha", f"patterns:{kind}", "pattern.detected", pattern_id=names.new("pat"),
                pattern_type=kind, description=f"{kind} repeats every {rng.randrange(2, 60)} min",
                confidence=round(rng.uniform(0.5, 1), 2))
    yield 1.0
    if rng.random() < 0.5:
        yield event("akosha", "anomalies", "anomaly.detected", anomaly_id=names.new("ano"),
                    anomaly_type="spike", severity=rng.choice(["low", "medium", "high",
                                                               "critical"]),
                    description=f"{kind} above its usual range",
                    metrics={"value": rng.randrange(100, 900), "expected": 90})
    yield event("akosha", "insights", "insight.generated", insight_id=names.new("ins"),
                insight_type="recommendation", title=f"Look at {kind}",
                description="Three services share this pattern", data={"services": PROJECTS[:3]})
    yield event("akosha", "metrics", "aggregation.completed", aggregation_id=names.new("agg"),
                aggregation_type="hourly", record_count=rng.randrange(1000, 90000),
                summary={"p50_ms": 12, "p99_ms": rng.randrange(40, 200)})
    yield rng.uniform(1, 3)


# ------------------------------------------------------------------------------ crackerjack

def test_run(rng, names):
    run_id = names.new("run")
    project = rng.choice(PROJECTS)
    total = rng.randrange(80, 400)
    failures = rng.choice([0, 0, 1, 2])
    yield event("crackerjack", f"test:{run_id}", "test.started", run_id=run_id,
                test_suite=f"{project}/tests", total_tests=total)
    for number in range(failures):
        yield rng.uniform(0.5, 1.5)
        yield event("crackerjack", f"test:{run_id}", "test.failed", run_id=run_id,
                    test_name=f"test_case_{number}", error="assert 3 == 4",
                    traceback="tests/test_core.py:42: AssertionError")
    yield rng.uniform(1, 3)
    yield event("crackerjack", f"test:{run_id}", "test.completed", run_id=run_id,
                tests_completed=total, tests_failed=failures,
                duration_seconds=round(rng.uniform(3, 60), 2))
    passed = failures == 0
    yield event("crackerjack", f"quality:{project}", "quality_gate.checked", project=project,
                gate_name="comprehensive", status="passed" if passed else "failed",
                threshold=80,
                score=round(rng.uniform(80, 100) if passed else rng.uniform(60, 79), 1),
                quality_gate_report={"fast_hooks": True, "tests": passed, "comprehensive": passed,
                                     "passed": passed, "coverage": 84.2, "errors": [],
                                     "repository": project})
    line = round(rng.uniform(70, 95), 1)
    yield event("crackerjack", f"quality:{project}", "coverage.updated", project=project,
                line_coverage=line, branch_coverage=round(line - 6, 1),
                path_coverage=round(line - 12, 1))
    yield 1.0


# ---------------------------------------------------------------------------- session-buddy

def skill_metrics(rng, names):
    top = [{"skill_name": skill, "total_invocations": rng.randrange(5, 300),
            "completion_rate": round(rng.uniform(0.6, 1), 3),
            "avg_duration_seconds": round(rng.uniform(1, 60), 1)} for skill in SKILLS]
    top.sort(key=lambda skill: -skill["total_invocations"])
    anomalies = []
    if rng.random() < 0.3:
        anomalies.append({"skill_name": rng.choice(SKILLS), "detected_at": now(),
                          "anomaly_type": rng.choice(["drop", "spike", "pattern_shift"]),
                          "deviation_score": round(rng.uniform(2, 5), 2)})
    made = event("session-buddy", "metrics", "metrics_update", top_skills=top,
                 anomalies=anomalies)
    del made["data"]["timestamp"]
    yield made
    yield 1.0


def session(rng, names):
    session_id = names.new("session")
    project = rng.choice(PROJECTS)
    channel = f"session:{session_id}"

    def say(name, **data):
        return event("session-buddy", channel, name, session_id=session_id, **data)

    yield say("session.created", project=project, user_id=rng.choice(USERS))
    for _ in range(rng.randrange(1, 4)):
        yield rng.uniform(1, 2)
        yield say("session.updated", context={"files_open": rng.randrange(1, 30)})
        knowledge = names.new("know")
        yield event("session-buddy", f"knowledge:{knowledge}", "knowledge.captured",
                    knowledge_id=knowledge, session_id=session_id, type="decision")
    yield event("session-buddy", f"knowledge:{knowledge}", "knowledge.search_result",
                knowledge_id=knowledge, query="retry policy", results=rng.randrange(9))
    checkpoint = names.new("cp")
    yield event("session-buddy", f"checkpoint:{checkpoint}", "session.checkpoint",
                session_id=session_id, checkpoint_id=checkpoint,
                quality_score=rng.randrange(60, 100))
    yield say("session.closed", duration_seconds=rng.randrange(60, 7200))
    yield 1.0


# ----------------------------------------------------------------------------------- dhruva

def distribution(rng, names):
    adapter_id = names.new("adapter")
    repo = rng.choice(PROJECTS)

    def say(name, **data):
        return event("dhruva", f"adapter:{adapter_id}", name, adapter_id=adapter_id, **data)

    yield say("adapter.stored", type="cache", version="1.0.0")
    yield event("dhruva", "storage:adapters", "storage.event", storage_type="adapters",
                operation="write", bytes=rng.randrange(1000, 99999))
    yield 0.8
    yield say("adapter.updated", type="cache", version="1.1.0")
    yield event("dhruva", "distribution", "adapter.distributed", adapter_id=adapter_id,
                targets=PROJECTS[:2])
    yield say("adapter.activated", repo=repo, version="1.1.0", config={"ttl": 300})
    yield event("dhruva", f"distribution:{repo}", "adapter.swapped", old_adapter="memory",
                new_adapter=adapter_id, repo=repo)
    yield event("dhruva", f"distribution:{repo}", "distribution.completed", repo=repo,
                adapters_count=3, adapters=ADAPTERS[:3], duration_ms=rng.randrange(20, 900))
    yield event("dhruva", "registry", "registry.updated", version=rng.randrange(100),
                added=[adapter_id], removed=[], updated=[])
    yield event("dhruva", "lifecycle", "lifecycle.changed", entity_type="adapter",
                entity_id=adapter_id, old_state="stored", new_state="active")
    yield 2.0
    yield say("adapter.deactivated", repo=repo, reason="replaced")


# ------------------------------------------------------------------------------- excalidraw

def drawing(rng, names):
    diagram = names.new("diagram")
    people = rng.sample(USERS, 2)

    def say(kind, name, **data):
        return event("excalidraw", f"{kind}:{diagram}", name, diagram_id=diagram, **data)

    yield say("diagram", "diagram.created", title="Deployment", elements=0, version=1)
    for person in people:
        yield say("presence", "user.joined", user_id=person,
                  user_info={"name": person.title(), "color": f"#{rng.randrange(16**6):06x}"})
    elements = []
    for version in range(2, 7):
        for _ in range(5):
            moved = say("cursor", "cursor.moved", user_id=rng.choice(people),
                        position={"x": rng.randrange(1600), "y": rng.randrange(900)})
            yield {**moved, "skip_history": True}
            yield 0.1
        elements.append(names.new("element"))
        yield say("diagram", "element.added", element_id=elements[-1],
                  element={"id": elements[-1], "type": rng.choice(["rectangle", "arrow", "text"])})
        yield say("diagram", "diagram.updated", elements=len(elements), version=version)
    yield say("diagram", "element.updated", element_id=elements[0], element={"id": elements[0]})
    yield say("diagram", "element.deleted", element_id=elements[-1])
    yield event("excalidraw", f"collaboration:{diagram}", "selection.changed", user_id=people[0],
                element_ids=elements[:2])
    yield say("diagram", "diagram.locked", user_id=people[0])
    yield say("diagram", "diagram.saved", version=7)
    for person in people:
        yield say("presence", "user.left", user_id=person)
    yield 1.0


# ------------------------------------------------------------------------------- fastblocks

def page(rng, names):
    page_id, component = names.new("page"), names.new("component")
    html = f'<article id="{component}">{rng.randrange(1000)} orders</article>'

    def say(channel, name, **data):
        return event("fastblocks", channel, name, component_id=component, **data)

    yield say(f"component:{component}", "component.mounted", page_id=page_id)
    yield say(f"component:{component}", "render.started", page_id=page_id)
    if rng.random() < 0.3:
        yield say("render", "render.failed", page_id=page_id, error="template not found")
    yield say(f"component:{component}", "component.rendered", html=html,
              render_time=round(rng.uniform(1, 20), 2))
    yield say(f"component:{component}", "render.completed", page_id=page_id)
    yield say(f"ui:{component}", "ui.updated", changes={"rows": rng.randrange(1, 9)})
    yield 0.7
    yield event("fastblocks", "state", "state.changed", state_path="cart.items",
                component_id=component, new_value=rng.randrange(20))
    yield say(f"component:{component}", "component.updated", changes={"title": "Orders"})
    yield event("fastblocks", f"page:{page_id}", "page.rendered", page_id=page_id,
                duration_ms=rng.randrange(5, 90))
    yield event("fastblocks", "hot_reload", "hot_reload.triggered", files=["templates/cart.html"])
    yield say(f"component:{component}", "component.unmounted", page_id=page_id)
    yield 1.5


# The actors, and how many of each run at the same time.
CAST = [(workflow, 3), (pool, 2), (goal_team, 1), (adapters, 1), (ecosystem, 1), (insights, 1),
        (test_run, 2), (skill_metrics, 1), (session, 2), (distribution, 1), (drawing, 2), (page, 1)]


def stream(rng):
    """Yields (seconds since the start, event) in order of time, without end."""
    names = Names(rng)
    order = itertools.count()
    queue = []
    for make, count in CAST:
        for _ in range(count):
            heapq.heappush(queue, (rng.uniform(0, 2), next(order), make, make(rng, names)))
    while True:
        at, _, make, actor = heapq.heappop(queue)
        step = next(actor, None)
        if step is None:
            at, actor = at + rng.uniform(0.2, 1.0), make(rng, names)
        elif isinstance(step, float):
            at += step
        else:
            yield at, step
            at += 0.02
        heapq.heappush(queue, (at, next(order), make, actor))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, help="end after this many events, without pauses")
    parser.add_argument("--seed", type=int, help="random seed; the same seed gives the same stream")
    parser.add_argument("--print", action="store_true", help="print the events, publish nothing")
    if sys.stdout is None:
        sys.exit("standard output is closed")
    arguments = parser.parse_args()
    events = paced(stream(random.Random(arguments.seed)), arguments.events)
    if arguments.print:
        write(events, flush=arguments.events is None)
    else:
        publish(events)


def paced(events, count):
    """Yields `count` events at once, or without a count all of them when they are due."""
    started = time.monotonic()
    for at, made in itertools.islice(events, count):
        if count is None:
            time.sleep(max(0.0, started + at - time.monotonic()))
            if "timestamp" in made["data"]:
                made["data"]["timestamp"] = now()
        yield made


def publish(events):
    try:
        from fanwire.publisher import Publisher
    except ImportError as error:
        sys.exit(f"{error}: on Debian, install python3-grpcio and python3-protobuf")
    logging.basicConfig(format="%(message)s")  # of the library: refused events, lost connections
    publisher = Publisher(block_timeout=None)
    for made in events:
        publisher.publish(**made)
    publisher.flush()
    counts = publisher.stats()
    publisher.close()
    print(f"{counts['accepted']} events accepted, {counts['refused']} refused")
    sys.exit(1 if counts["refused"] else 0)


def write(events, flush):
    try:
        for made in events:
            print(json.dumps(made), flush=flush)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        sys.exit(f"cannot write the events: {error.strerror}")


if __name__ == "__main__":
    # The reader may go away at any time, and Ctrl-C is the way to end: neither is an error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
