// The events of Fanwire's services.  Made by `wsctl catalog export --format typescript`.

export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** An event as clients receive it. */
export interface Envelope<Name extends string = string, Data = JsonObject> {
  id: string;
  correlation_id: null;
  type: "event";
  event: Name;
  data: Data;
  timestamp: string;
  /** The channel. */
  room: string;
  error_code: null;
  error_message: null;
  /** The position in the channel's epoch; absent if the event skips history. */
  offset?: number;
  epoch?: string;
}

export namespace akosha {
  /** A pattern was found. */
  export interface PatternDetected {
    pattern_id: string;
    pattern_type: string;
    description: string;
    /** 0 to 1. */
    confidence: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Something unusual was found. */
  export interface AnomalyDetected {
    anomaly_id: string;
    anomaly_type: string;
    /** "low", "medium", "high" or "critical". */
    severity: string;
    description: string;
    /** The numbers that are unusual. */
    metrics: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A conclusion was drawn. */
  export interface InsightGenerated {
    insight_id: string;
    insight_type: string;
    title: string;
    description: string;
    data: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Records were summed up. */
  export interface AggregationCompleted {
    aggregation_id: string;
    aggregation_type: string;
    record_count: number;
    summary: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
}

export namespace crackerjack {
  /** A test run begins. */
  export interface TestStarted {
    run_id: string;
    test_suite: string;
    total_tests: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A test run ended. */
  export interface TestCompleted {
    run_id: string;
    tests_completed: number;
    tests_failed: number;
    duration_seconds: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** One test failed. */
  export interface TestFailed {
    run_id: string;
    test_name: string;
    error: string;
    traceback: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A quality gate was checked. */
  export interface QualityGateChecked {
    project: string;
    gate_name: string;
    /** "passed" or "failed". */
    status: string;
    score: number;
    threshold: number;
    quality_gate_report?: {
      fast_hooks?: boolean | null;
      tests?: boolean | null;
      comprehensive?: boolean | null;
      passed?: boolean | null;
      all_passed?: boolean | null;
      blocking_failure?: boolean | null;
      /** Percent. */
      coverage?: number | null;
      errors?: Array<string> | null;
      warnings?: Array<string> | null;
      required_check_failures?: Array<string> | null;
      /** Objects with `name`, `passed`, `severity`, `score`, `threshold` and more. */
      checks?: Array<JsonObject> | null;
      repository?: string | null;
      profile?: string | null;
      source?: string | null;
      generated_at?: string | null;
      metadata?: JsonObject | null;
      [key: string]: unknown;
    } | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The coverage of a project's tests changed. The shipped configuration publishes a copy on `coverage`. */
  export interface CoverageUpdated {
    project: string;
    /** Percent, as the next two. */
    line_coverage: number;
    branch_coverage: number;
    path_coverage: number;
    timestamp: string;
    [key: string]: unknown;
  }
}

export namespace dhruva {
  /** An adapter was stored. */
  export interface AdapterStored {
    adapter_id: string;
    type?: string | null;
    version?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** An adapter was stored again. */
  export interface AdapterUpdated {
    adapter_id: string;
    type?: string | null;
    version?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A repository uses an adapter from now on. */
  export interface AdapterActivated {
    adapter_id: string;
    repo: string;
    version: string;
    config: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A repository does not use an adapter any more. */
  export interface AdapterDeactivated {
    adapter_id: string;
    repo: string;
    reason: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** An adapter was sent to where it is used. */
  export interface AdapterDistributed {
    adapter_id?: string | null;
    targets?: Json[] | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A repository uses another adapter than before. */
  export interface AdapterSwapped {
    old_adapter: string;
    new_adapter: string;
    repo: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** All adapters of a repository were distributed. */
  export interface DistributionCompleted {
    repo: string;
    adapters_count: number;
    adapters: Json[];
    /** Seconds; or the next one. */
    duration?: number | null;
    duration_ms?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Something happened in a storage. */
  export interface StorageEvent {
    storage_type: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The registry of adapters changed. */
  export interface RegistryUpdated {
    /** A number or a text. */
    version: Json;
    added: Json[];
    removed: Json[];
    updated: Json[];
    timestamp: string;
    [key: string]: unknown;
  }
  /** Something reached the next state of its life. */
  export interface LifecycleChanged {
    entity_type: string;
    entity_id: string;
    old_state: string;
    new_state: string;
    timestamp: string;
    [key: string]: unknown;
  }
}

export namespace excalidraw {
  /** A diagram was made. */
  export interface DiagramCreated {
    diagram_id: string;
    title?: string | null;
    /** The elements, or how many there are. */
    elements?: Json | null;
    version?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A diagram changed. */
  export interface DiagramUpdated {
    diagram_id: string;
    title?: string | null;
    /** The elements, or how many there are. */
    elements?: Json | null;
    version?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A diagram was saved. */
  export interface DiagramSaved {
    diagram_id: string;
    version?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Somebody alone may change a diagram. */
  export interface DiagramLocked {
    diagram_id: string;
    user_id?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A diagram has one more element. */
  export interface ElementAdded {
    diagram_id: string;
    element_id?: string | null;
    element?: JsonObject | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** An element of a diagram changed. */
  export interface ElementUpdated {
    diagram_id: string;
    element_id?: string | null;
    element?: JsonObject | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A diagram has one element less. */
  export interface ElementDeleted {
    diagram_id: string;
    element_id?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Somebody moved the cursor. */
  export interface CursorMoved {
    diagram_id: string;
    user_id: string;
    position: {
      x: number;
      y: number;
      [key: string]: unknown;
    };
    timestamp: string;
    [key: string]: unknown;
  }
  /** Somebody moved the cursor: the form for a room. */
  export interface RoomCursorMoved {
    user_id: string;
    x: number;
    y: number;
    color?: string | null;
    timestamp?: string | null;
    [key: string]: unknown;
  }
  /** Somebody opened a diagram. */
  export interface UserJoined {
    diagram_id: string;
    user_id: string;
    /** Clients read `name` and `color`. */
    user_info: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Somebody closed a diagram. */
  export interface UserLeft {
    diagram_id: string;
    user_id: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Somebody entered a room. */
  export interface RoomUserJoined {
    user_id: string;
    user_info?: JsonObject | null;
    timestamp?: string | null;
    [key: string]: unknown;
  }
  /** Somebody left a room. */
  export interface RoomUserLeft {
    user_id: string;
    timestamp?: string | null;
    [key: string]: unknown;
  }
  /** Somebody selected elements. */
  export interface SelectionChanged {
    user_id: string;
    element_ids: Json[];
    timestamp: string;
    [key: string]: unknown;
  }
  /** What the service's test tool publishes, on any channel. */
  export interface TestEvent {
    message?: string | null;
    /** True. */
    test?: boolean | null;
    timestamp?: string | null;
    [key: string]: unknown;
  }
}

export namespace fastblocks {
  /** A component of the user interface changed. */
  export interface UiUpdated {
    component_id: string;
    changes?: JsonObject | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A component was rendered. */
  export interface ComponentRendered {
    component_id: string;
    html?: string | null;
    /** Seconds. */
    render_time?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A value of the application's state changed. */
  export interface StateChanged {
    /** Which value: "cart.items". */
    state_path: string;
    component_id?: string | null;
    new_value: Json;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A value of a component's state changed: the form of a report. */
  export interface ComponentStateChanged {
    component_id: string;
    path: string;
    old_value: Json;
    new_value: Json;
    timestamp?: string | null;
    [key: string]: unknown;
  }
  /** A component was put into a page. */
  export interface ComponentMounted {
    component_id: string;
    page_id?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A component changed. */
  export interface ComponentUpdated {
    component_id: string;
    changes?: JsonObject | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A component was taken out of a page. */
  export interface ComponentUnmounted {
    component_id: string;
    page_id?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The rendering of a component begins. */
  export interface RenderStarted {
    component_id: string;
    page_id?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The rendering of a component ended. */
  export interface RenderCompleted {
    component_id: string;
    page_id?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The rendering of a component or a page failed. */
  export interface RenderFailed {
    component_id?: string | null;
    page_id?: string | null;
    error?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A page was rendered. */
  export interface PageRendered {
    page_id: string;
    duration_ms?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Sources changed, and pages are loaded again. */
  export interface HotReloadTriggered {
    files?: Json[] | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A page changed: the name that a guide gives to `ui.updated`. */
  export interface GuideUiUpdated {
    page_id: string;
    changes: Json;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A component was rendered: the name that a guide gives to `component.rendered`. */
  export interface GuideComponentRendered {
    component_id: string;
    page_id: string;
    html: string;
    state?: Json | null;
    metadata?: Json | null;
    timestamp?: string | null;
    [key: string]: unknown;
  }
  /** The state of a component changed: the name that a guide gives to `state.changed`. */
  export interface GuideStateChanged {
    component_id: string;
    state: Json;
    page_id: string;
    timestamp?: string | null;
    [key: string]: unknown;
  }
}

export namespace mahavishnu {
  /** A workflow begins. */
  export interface WorkflowStarted {
    workflow_id: string;
    /** What the workflow was asked to do. */
    prompt?: string | null;
    /** The adapter that runs it: "llamaindex", "prefect", "agno". */
    adapter?: string | null;
    /** How many stages it will have. */
    total_stages?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A stage of a workflow begins. */
  export interface WorkflowStageStarted {
    workflow_id: string;
    stage_name: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A stage of a workflow is done. */
  export interface WorkflowStageCompleted {
    workflow_id: string;
    stage_name: string;
    /** What the stage produced. */
    result: JsonObject;
    /** How much of the workflow is done, 0 to 100. */
    progress?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A workflow ended well. */
  export interface WorkflowCompleted {
    workflow_id: string;
    /** What the workflow produced. */
    result: JsonObject;
    duration_seconds?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A workflow ended with an error. */
  export interface WorkflowFailed {
    workflow_id: string;
    /** What went wrong, for people. */
    error: string;
    /** The stage that failed. */
    failed_stage?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A pool of workers was made. */
  export interface PoolSpawned {
    pool_id: string;
    /** Its configuration; clients read `pool_type`, `min_workers` and `max_workers`. */
    config: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The number of a pool's workers changed. */
  export interface PoolScaled {
    pool_id: string;
    /** How many workers the pool has now. */
    worker_count: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A pool is being made larger or smaller. */
  export interface PoolScaling {
    pool_id: string;
    /** "worker_added", "worker_removed", "scaled_up". */
    event_type: string;
    worker_count?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The state of a pool changed. */
  export interface PoolStatusChanged {
    pool_id: string;
    /** What the pool says of itself. Clients read `state`, `worker_count`, `active_workers`, `idle_workers`, `error_workers`, `queue_size` and `tasks_completed`. */
    status: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A pool is gone. */
  export interface PoolClosed {
    pool_id: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A worker joined a pool. */
  export interface WorkerAdded {
    pool_id: string;
    worker_id: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A worker left a pool. */
  export interface WorkerRemoved {
    pool_id: string;
    worker_id: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The state of a pool's worker changed. */
  export interface WorkerStatusChanged {
    worker_id: string;
    /** "idle", "busy", "error", "offline"; also "initializing" and "stopping". */
    status: string;
    pool_id: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Whether workers of a type can be used changed. */
  export interface WorkerAvailabilityChanged {
    worker_type: string;
    state: string;
    /** "ready", "missing_tool", "missing_settings", "missing_credentials", "service_unreachable" or "unknown". */
    reason_bucket: string;
    /** When it was found out. */
    probe_at: string;
    [key: string]: unknown;
  }
  /** A worker got a task. */
  export interface TaskAssigned {
    pool_id: string;
    worker_id: string;
    task_id?: string | null;
    /** The task; clients read `task_id` and `task_type`. */
    task: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A worker got a task: the form that has the task's id alone. */
  export interface TaskIdAssigned {
    pool_id: string;
    worker_id: string;
    task_id: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A worker finished a task. */
  export interface TaskCompleted {
    pool_id: string;
    worker_id: string;
    task_id?: string | null;
    /** What came of it; clients read `success`. */
    result: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A goal was understood, before its team is made. */
  export interface TeamParsed {
    goal: string;
    intent: string;
    skills: Array<string>;
    /** 0 to 1, with three decimals. */
    confidence: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A team for a goal was made. */
  export interface TeamCreated {
    team_id: string;
    team_name: string;
    goal: string;
    /** "coordinate", "route", "broadcast" or "collaborate". */
    mode: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A team begins its work. */
  export interface TeamExecutionStarted {
    team_id: string;
    /** The task, cut after 200 characters. */
    task: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A team ended its work. */
  export interface TeamExecutionCompleted {
    team_id: string;
    success: boolean;
    /** Milliseconds, with two decimals. */
    duration_ms: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Something went wrong with a team. */
  export interface TeamError {
    /** Empty if no team was made yet. */
    team_id: string;
    error_code: string;
    message: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** An adapter is known from now on. */
  export interface AdapterRegistered {
    adapter_id: string;
    adapter_name: string;
    capabilities: Array<string>;
    provider: string;
    /** "entry_point", "dhara" or "manual". */
    source: string;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The health of an adapter changed. */
  export interface AdapterHealthChanged {
    adapter_id: string;
    adapter_name: string;
    old_status: string;
    new_status: string;
    details: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** The health of an adapter changed: the form in which health checks tell it on `global`. */
  export interface AdapterHealthCheckChanged {
    adapter: string;
    is_healthy: boolean;
    status: string;
    consecutive_failures: number;
    details: JsonObject;
    timestamp: string;
    [key: string]: unknown;
  }
  /** An adapter may be used. */
  export interface AdapterEnabled {
    adapter_id: string;
    adapter_name: string;
    /** True. */
    enabled: boolean;
    reason?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** An adapter may not be used. */
  export interface AdapterDisabled {
    adapter_id: string;
    adapter_name: string;
    /** False. */
    enabled: boolean;
    reason?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** An adapter was chosen for a task. */
  export interface AdapterRoutingDecision {
    task_type: string;
    selected_adapter: string;
    capabilities_matched: Array<string>;
    latency_ms: number;
    fallback_used: boolean;
    timestamp: string;
    [key: string]: unknown;
  }
  /** What was learned from the tasks of all pools. */
  export interface LearningMetrics {
    patterns_strengthened: number;
    patterns_weakened: number;
    model_retrains: number;
    avg_confidence_score: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** How well a skill does. */
  export interface SkillEffectiveness {
    skill_name: string;
    success_rate: number;
    total_attempts: number;
    avg_confidence: number;
    timestamp: string;
    [key: string]: unknown;
  }
  /** How well recommended strategies do. */
  export interface StrategyRecommender {
    recommendations_made: number;
    high_confidence_count: number;
    avg_success_rate: number;
    timestamp: string;
    [key: string]: unknown;
  }
}

export namespace session_buddy {
  /** The most used skills, and anomalies. Control makes the frames of session-buddy's own dialect of it. */
  export interface MetricsUpdate {
    /** At most ten are shown. */
    top_skills: Array<{
      skill_name: string;
      total_invocations: number;
      /** 0 to 1. */
      completion_rate: number;
      avg_duration_seconds?: number | null;
      [key: string]: unknown;
    }>;
    anomalies: Array<{
      skill_name: string;
      detected_at: string;
      /** "drop", "spike" or "pattern_shift". */
      anomaly_type: string;
      deviation_score: number;
      [key: string]: unknown;
    }>;
    [key: string]: unknown;
  }
  /** The name that a report gives to `metrics_update`; it specifies no data. */
  export interface MetricsUpdated {
    timestamp?: string | null;
    [key: string]: unknown;
  }
  /** A session begins. */
  export interface SessionCreated {
    session_id: string;
    project?: string | null;
    user_id?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Something in a session changed. */
  export interface SessionUpdated {
    session_id: string;
    context?: JsonObject | null;
    changes?: JsonObject | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A session was saved. */
  export interface SessionCheckpoint {
    session_id: string;
    checkpoint_id: string;
    quality_score?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** A session ended. */
  export interface SessionClosed {
    session_id: string;
    duration_seconds?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** Something was learned. */
  export interface KnowledgeCaptured {
    knowledge_id: string;
    session_id?: string | null;
    /** What it is: "decision". */
    type?: string | null;
    timestamp: string;
    [key: string]: unknown;
  }
  /** What was learned was looked for. */
  export interface KnowledgeSearchResult {
    knowledge_id: string;
    query?: string | null;
    /** How many were found. */
    results?: number | null;
    timestamp: string;
    [key: string]: unknown;
  }
}

export interface Services {
  "akosha": {
    "aggregation.completed": akosha.AggregationCompleted;
    "anomaly.detected": akosha.AnomalyDetected;
    "insight.generated": akosha.InsightGenerated;
    "pattern.detected": akosha.PatternDetected;
  };
  "crackerjack": {
    "coverage.updated": crackerjack.CoverageUpdated;
    "quality_gate.checked": crackerjack.QualityGateChecked;
    "test.completed": crackerjack.TestCompleted;
    "test.failed": crackerjack.TestFailed;
    "test.started": crackerjack.TestStarted;
  };
  "dhruva": {
    "adapter.activated": dhruva.AdapterActivated;
    "adapter.deactivated": dhruva.AdapterDeactivated;
    "adapter.distributed": dhruva.AdapterDistributed;
    "adapter.stored": dhruva.AdapterStored;
    "adapter.swapped": dhruva.AdapterSwapped;
    "adapter.updated": dhruva.AdapterUpdated;
    "distribution.completed": dhruva.DistributionCompleted;
    "lifecycle.changed": dhruva.LifecycleChanged;
    "registry.updated": dhruva.RegistryUpdated;
    "storage.event": dhruva.StorageEvent;
  };
  "excalidraw": {
    "cursor.moved": excalidraw.CursorMoved | excalidraw.RoomCursorMoved;
    "diagram.created": excalidraw.DiagramCreated;
    "diagram.locked": excalidraw.DiagramLocked;
    "diagram.saved": excalidraw.DiagramSaved;
    "diagram.updated": excalidraw.DiagramUpdated;
    "element.added": excalidraw.ElementAdded;
    "element.deleted": excalidraw.ElementDeleted;
    "element.updated": excalidraw.ElementUpdated;
    "selection.changed": excalidraw.SelectionChanged;
    "test.event": excalidraw.TestEvent;
    "user.joined": excalidraw.UserJoined | excalidraw.RoomUserJoined;
    "user.left": excalidraw.UserLeft | excalidraw.RoomUserLeft;
  };
  "fastblocks": {
    "component.mounted": fastblocks.ComponentMounted;
    "component.rendered": fastblocks.ComponentRendered;
    "component.unmounted": fastblocks.ComponentUnmounted;
    "component.updated": fastblocks.ComponentUpdated;
    "fastblocks.component_rendered": fastblocks.GuideComponentRendered;
    "fastblocks.state_changed": fastblocks.GuideStateChanged;
    "fastblocks.ui_updated": fastblocks.GuideUiUpdated;
    "hot_reload.triggered": fastblocks.HotReloadTriggered;
    "page.rendered": fastblocks.PageRendered;
    "render.completed": fastblocks.RenderCompleted;
    "render.failed": fastblocks.RenderFailed;
    "render.started": fastblocks.RenderStarted;
    "state.changed": fastblocks.StateChanged | fastblocks.ComponentStateChanged;
    "ui.updated": fastblocks.UiUpdated;
  };
  "mahavishnu": {
    "adapter.disabled": mahavishnu.AdapterDisabled;
    "adapter.enabled": mahavishnu.AdapterEnabled;
    "adapter.health_changed": mahavishnu.AdapterHealthChanged | mahavishnu.AdapterHealthCheckChanged;
    "adapter.registered": mahavishnu.AdapterRegistered;
    "adapter.routing_decision": mahavishnu.AdapterRoutingDecision;
    "learning.metrics": mahavishnu.LearningMetrics;
    "pool.closed": mahavishnu.PoolClosed;
    "pool.scaled": mahavishnu.PoolScaled;
    "pool.scaling": mahavishnu.PoolScaling;
    "pool.spawned": mahavishnu.PoolSpawned;
    "pool.status_changed": mahavishnu.PoolStatusChanged;
    "skill.effectiveness": mahavishnu.SkillEffectiveness;
    "strategy.recommender": mahavishnu.StrategyRecommender;
    "task.assigned": mahavishnu.TaskAssigned | mahavishnu.TaskIdAssigned;
    "task.completed": mahavishnu.TaskCompleted;
    "team.created": mahavishnu.TeamCreated;
    "team.error": mahavishnu.TeamError;
    "team.execution_completed": mahavishnu.TeamExecutionCompleted;
    "team.execution_started": mahavishnu.TeamExecutionStarted;
    "team.parsed": mahavishnu.TeamParsed;
    "worker.added": mahavishnu.WorkerAdded;
    "worker.availability_changed": mahavishnu.WorkerAvailabilityChanged;
    "worker.removed": mahavishnu.WorkerRemoved;
    "worker.status_changed": mahavishnu.WorkerStatusChanged;
    "workflow.completed": mahavishnu.WorkflowCompleted;
    "workflow.failed": mahavishnu.WorkflowFailed;
    "workflow.stage_completed": mahavishnu.WorkflowStageCompleted;
    "workflow.stage_started": mahavishnu.WorkflowStageStarted;
    "workflow.started": mahavishnu.WorkflowStarted;
  };
  "session-buddy": {
    "knowledge.captured": session_buddy.KnowledgeCaptured;
    "knowledge.search_result": session_buddy.KnowledgeSearchResult;
    "metrics.update": session_buddy.MetricsUpdated;
    "metrics_update": session_buddy.MetricsUpdate;
    "session.checkpoint": session_buddy.SessionCheckpoint;
    "session.closed": session_buddy.SessionClosed;
    "session.created": session_buddy.SessionCreated;
    "session.updated": session_buddy.SessionUpdated;
  };
}

/** Every event that a service sends, as clients receive it. */
export type EventOf<Service extends keyof Services> = {
  [Name in keyof Services[Service] & string]: Envelope<Name, Services[Service][Name]>;
}[keyof Services[Service] & string];
