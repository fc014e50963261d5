"""mahavishnu: workflows, pools and their workers, goal teams, adapters."""
from fanwire.services.base import WebSocketServer, rounded


def _pool(pool_id):
    """The id without the prefix of a channel, which some callers give."""
    pool_id = str(pool_id)
    return pool_id[len("pool:"):] if pool_id.startswith("pool:") else pool_id


class MahavishnuWebSocketServer(WebSocketServer):
    service = "mahavishnu"

    def __init__(self, pool_manager=None, host="127.0.0.1", port=8690, max_connections=1000,
                 message_rate_limit=100, require_auth=False, cert_file=None, key_file=None,
                 ca_file=None, tls_enabled=False, verify_client=False, auto_cert=False, **fanwire):
        super().__init__(host, port, max_connections, message_rate_limit,
                         require_auth=require_auth, cert_file=cert_file, key_file=key_file,
                         ca_file=ca_file, tls_enabled=tls_enabled, verify_client=verify_client,
                         auto_cert=auto_cert, **fanwire)
        self.pool_manager = pool_manager

    def get_rate_limit_stats(self, connection_id=None):
        raise NotImplementedError("get_rate_limit_stats: Fanwire's workers limit the rate of "
                                  "clients; their metrics count what they refused")

    # ------------------------------------------------------------------------- workflows

    async def broadcast_workflow_started(self, workflow_id, metadata):
        return await self._say(f"workflow:{workflow_id}", "workflow.started", metadata,
                               workflow_id=workflow_id)

    async def broadcast_workflow_stage_started(self, workflow_id, stage_name):
        return await self._say(f"workflow:{workflow_id}", "workflow.stage_started",
                               workflow_id=workflow_id, stage_name=stage_name)

    async def broadcast_workflow_stage_completed(self, workflow_id, stage_name, result):
        return await self._say(f"workflow:{workflow_id}", "workflow.stage_completed",
                               workflow_id=workflow_id, stage_name=stage_name, result=result)

    async def broadcast_workflow_completed(self, workflow_id, final_result):
        return await self._say(f"workflow:{workflow_id}", "workflow.completed",
                               workflow_id=workflow_id, result=final_result)

    async def broadcast_workflow_failed(self, workflow_id, error):
        return await self._say(f"workflow:{workflow_id}", "workflow.failed",
                               workflow_id=workflow_id, error=error)

    # ------------------------------------------------------------------------- pools

    async def broadcast_worker_status_changed(self, worker_id, status, pool_id):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "worker.status_changed", worker_id=worker_id,
                               status=status, pool_id=pool_id)

    async def broadcast_pool_status_changed(self, pool_id, status):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "pool.status_changed", pool_id=pool_id,
                               status=status)

    async def broadcast_pool_spawned(self, pool_id, config):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "pool.spawned", pool_id=pool_id, config=config)

    async def broadcast_pool_scaled(self, pool_id, worker_count):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "pool.scaled", pool_id=pool_id,
                               worker_count=worker_count)

    async def broadcast_pool_scaling(self, pool_id, event_type, details=None):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "pool.scaling", details, pool_id=pool_id,
                               event_type=event_type)

    async def broadcast_pool_closed(self, pool_id):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "pool.closed", pool_id=pool_id)

    async def broadcast_worker_added(self, pool_id, worker_id):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "worker.added", pool_id=pool_id,
                               worker_id=worker_id)

    async def broadcast_worker_removed(self, pool_id, worker_id):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "worker.removed", pool_id=pool_id,
                               worker_id=worker_id)

    async def broadcast_task_assigned(self, pool_id, worker_id, task):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "task.assigned", pool_id=pool_id,
                               worker_id=worker_id, task=task)

    async def broadcast_task_completed(self, pool_id, worker_id, result):
        pool_id = _pool(pool_id)
        return await self._say(f"pool:{pool_id}", "task.completed", pool_id=pool_id,
                               worker_id=worker_id, result=result)

    # ------------------------------------------------------------------------- goal teams

    async def broadcast_team_created(self, team_id, team_name, goal, mode, user_id=None):
        return await self._say_to_team(user_id, "team.created", team_id=team_id,
                                       team_name=team_name, goal=goal, mode=mode)

    async def broadcast_team_parsed(self, goal, intent, skills, confidence, user_id=None):
        return await self._say_to_team(user_id, "team.parsed", goal=goal, intent=intent,
                                       skills=skills, confidence=rounded(confidence, 3))

    async def broadcast_team_execution_started(self, team_id, task, user_id=None):
        return await self._say_to_team(user_id, "team.execution_started", team_id=team_id,
                                       task=task[:200] if isinstance(task, str) else task)

    async def broadcast_team_execution_completed(self, team_id, success, duration_ms,
                                                 user_id=None):
        return await self._say_to_team(user_id, "team.execution_completed", team_id=team_id,
                                       success=success, duration_ms=rounded(duration_ms, 2))

    async def broadcast_team_error(self, team_id, error_code, message, user_id=None):
        return await self._say_to_team(user_id, "team.error", team_id=team_id,
                                       error_code=error_code, message=message)

    async def _say_to_team(self, user_id, event, **data):
        data["timestamp"] = self._get_timestamp()
        said = await self._say("goal-teams", event, data, timestamp=False)
        if user_id:
            said = await self._say(f"goal-teams:{user_id}", event, data, timestamp=False) and said
        return said

    # ------------------------------------------------------------------------- adapters

    async def broadcast_adapter_registered(self, adapter_id, adapter_name, capabilities, provider,
                                           source):
        return await self._say("adapters", "adapter.registered", adapter_id=adapter_id,
                               adapter_name=adapter_name, capabilities=capabilities,
                               provider=provider, source=source)

    async def broadcast_adapter_health_changed(self, adapter_id, adapter_name, old_status,
                                               new_status, details=None):
        return await self._say("adapters", "adapter.health_changed", adapter_id=adapter_id,
                               adapter_name=adapter_name, old_status=old_status,
                               new_status=new_status, details=details or {})

    async def broadcast_adapter_health_check_changed(self, adapter, is_healthy, status,
                                                     consecutive_failures=0, details=None):
        """The other shape of adapter.health_changed: that of mahavishnu's health checks."""
        return await self._say("global", "adapter.health_changed", adapter=adapter,
                               is_healthy=is_healthy, status=status,
                               consecutive_failures=consecutive_failures, details=details or {})

    async def broadcast_adapter_enabled(self, adapter_id, adapter_name, enabled=True, reason=None):
        """Publishes adapter.enabled, or adapter.disabled if `enabled` is false."""
        return await self._say("adapters", "adapter.enabled" if enabled else "adapter.disabled",
                               adapter_id=adapter_id, adapter_name=adapter_name,
                               enabled=bool(enabled), reason=reason)

    async def broadcast_adapter_disabled(self, adapter_id, adapter_name, reason=None):
        return await self.broadcast_adapter_enabled(adapter_id, adapter_name, False, reason)

    async def broadcast_adapter_routing_decision(self, task_type, selected_adapter,
                                                 capabilities_matched, latency_ms, fallback_used):
        return await self._say("adapters", "adapter.routing_decision", task_type=task_type,
                               selected_adapter=selected_adapter,
                               capabilities_matched=capabilities_matched,
                               latency_ms=rounded(latency_ms, 2), fallback_used=fallback_used)

    broadcast_routing_decision = broadcast_adapter_routing_decision  # the original's name

    async def broadcast_worker_availability_changed(self, worker_type, state, reason_bucket,
                                                    probe_at=None):
        return await self._say("adapters", "worker.availability_changed", timestamp=False,
                               worker_type=worker_type, state=state, reason_bucket=reason_bucket,
                               probe_at=probe_at or self._get_timestamp())

    # ------------------------------------------------------------------------- learning

    async def broadcast_learning_metrics(self, patterns_strengthened=0, patterns_weakened=0,
                                         model_retrains=0, avg_confidence_score=0.0, user_id=None):
        return await self._say("symbiotic:ecosystem", "learning.metrics",
                               patterns_strengthened=patterns_strengthened,
                               patterns_weakened=patterns_weakened, model_retrains=model_retrains,
                               avg_confidence_score=rounded(avg_confidence_score, 2))

    async def broadcast_skill_effectiveness(self, skill_name, success_rate, total_attempts=0,
                                            avg_confidence=0.0, user_id=None):
        return await self._say("symbiotic:ecosystem", "skill.effectiveness", skill_name=skill_name,
                               success_rate=rounded(success_rate, 2), total_attempts=total_attempts,
                               avg_confidence=rounded(avg_confidence, 2))

    async def broadcast_strategy_recommender_metrics(self, recommendations_made=0,
                                                     high_confidence_count=0, avg_success_rate=0.0,
                                                     user_id=None):
        return await self._say("symbiotic:ecosystem", "strategy.recommender",
                               recommendations_made=recommendations_made,
                               high_confidence_count=high_confidence_count,
                               avg_success_rate=rounded(avg_success_rate, 2))

    broadcast_strategy_recommender = broadcast_strategy_recommender_metrics
