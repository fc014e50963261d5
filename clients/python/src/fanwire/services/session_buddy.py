"""session-buddy: skill metrics in its own dialect, and the events that were planned."""
from fanwire.services.base import WebSocketServer


class SessionBuddyWebSocketServer(WebSocketServer):
    service = "session-buddy"

    def __init__(self, host="localhost", port=8765, db_path=None, update_interval=1.0, **fanwire):
        super().__init__(host, port, **fanwire)
        self.db_path = db_path
        self.update_interval = update_interval

    async def broadcast_metrics_update(self, top_skills, anomalies):
        """Control repeats the newest one to clients of session-buddy's dialect."""
        return await self._say("metrics", "metrics_update", timestamp=False,
                               top_skills=top_skills, anomalies=anomalies)

    async def broadcast_metrics_updated(self, metrics):
        """Publishes `metrics.update`, for clients of the common protocol."""
        return await self._say("metrics", "metrics.update", metrics)

    async def broadcast_session_created(self, session_id, project=None, user_id=None):
        return await self._say_given(f"session:{session_id}", "session.created",
                                     session_id=session_id, project=project, user_id=user_id)

    async def broadcast_session_updated(self, session_id, context=None, changes=None):
        return await self._say_given(f"session:{session_id}", "session.updated",
                                     session_id=session_id, context=context, changes=changes)

    async def broadcast_session_checkpoint(self, session_id, checkpoint_id, quality_score=None):
        return await self._say_given(f"checkpoint:{checkpoint_id}", "session.checkpoint",
                                     session_id=session_id, checkpoint_id=checkpoint_id,
                                     quality_score=quality_score)

    async def broadcast_session_closed(self, session_id, duration_seconds=None):
        return await self._say_given(f"session:{session_id}", "session.closed",
                                     session_id=session_id, duration_seconds=duration_seconds)

    async def broadcast_knowledge_captured(self, knowledge_id, session_id=None, type=None):
        return await self._say_given(f"knowledge:{knowledge_id}", "knowledge.captured",
                                     knowledge_id=knowledge_id, session_id=session_id, type=type)

    async def broadcast_knowledge_search_result(self, knowledge_id, query=None, results=None):
        return await self._say_given(f"knowledge:{knowledge_id}", "knowledge.search_result",
                                     knowledge_id=knowledge_id, query=query, results=results)
