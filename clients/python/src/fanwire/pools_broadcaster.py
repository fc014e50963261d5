"""The WebSocketBroadcaster of mahavishnu/pools/websocket/broadcaster.py, with Fanwire behind it.

    from mahavishnu.pools.websocket import WebSocketBroadcaster, create_broadcaster
    from fanwire.pools_broadcaster import WebSocketBroadcaster, create_broadcaster

Its server is what fanwire.broadcaster.start_websocket_server() returns, or anything that has
`is_running` and `broadcast_to_room(room, message)`.
"""
import collections
import datetime

from fanwire.services.base import Message, log, rounded, without_double_kind

__all__ = ["WebSocketBroadcaster", "create_broadcaster"]


class WebSocketBroadcaster:
    """No method raises; each returns whether the event was taken.

    With buffer_enabled, events that the server does not take, because it is missing or not running,
    wait for flush_buffer(): the newest `buffer_size`.  While control is away the server has a
    buffer of its own.
    """

    def __init__(self, websocket_server=None, buffer_size=1000, buffer_enabled=False):
        self.server = websocket_server
        self._buffer_enabled = buffer_enabled
        self._event_buffer = collections.deque(maxlen=buffer_size)

    async def broadcast_pool_spawned(self, pool_id, config):
        return await self._say_to_pool("pool.spawned", pool_id=pool_id, config=config)

    async def broadcast_pool_scaled(self, pool_id, worker_count):
        return await self._say_to_pool("pool.scaled", pool_id=pool_id, worker_count=worker_count)

    async def broadcast_pool_status_changed(self, pool_id, status):
        """A text as status becomes {"state": text}."""
        if isinstance(status, str):
            status = {"state": status}
        return await self._say_to_pool("pool.status_changed", pool_id=pool_id, status=status)

    async def broadcast_worker_added(self, pool_id, worker_id):
        return await self._say_to_pool("worker.added", pool_id=pool_id, worker_id=worker_id)

    async def broadcast_worker_removed(self, pool_id, worker_id):
        return await self._say_to_pool("worker.removed", pool_id=pool_id, worker_id=worker_id)

    async def broadcast_worker_status_changed(self, pool_id, worker_id, status):
        return await self._say_to_pool("worker.status_changed", pool_id=pool_id,
                                       worker_id=worker_id, status=status)

    async def broadcast_task_assigned(self, pool_id, worker_id, task):
        return await self._say_to_pool("task.assigned", pool_id=pool_id, worker_id=worker_id,
                                       task=task)

    async def broadcast_task_completed(self, pool_id, worker_id, result):
        return await self._say_to_pool("task.completed", pool_id=pool_id, worker_id=worker_id,
                                       result=result)

    async def broadcast_pool_closed(self, pool_id):
        return await self._say_to_pool("pool.closed", pool_id=pool_id)

    async def broadcast_learning_metrics(self, patterns_strengthened=0, patterns_weakened=0,
                                         model_retrains=0, avg_confidence_score=0.0, user_id=None):
        return await self._say("symbiotic:ecosystem", "learning.metrics", {
            "patterns_strengthened": patterns_strengthened, "patterns_weakened": patterns_weakened,
            "model_retrains": model_retrains,
            "avg_confidence_score": rounded(avg_confidence_score, 2)})

    async def broadcast_skill_effectiveness(self, skill_name, success_rate, total_attempts=0,
                                            avg_confidence=0.0, user_id=None):
        return await self._say("symbiotic:ecosystem", "skill.effectiveness", {
            "skill_name": skill_name, "success_rate": rounded(success_rate, 2),
            "total_attempts": total_attempts, "avg_confidence": rounded(avg_confidence, 2)})

    async def broadcast_strategy_recommender_metrics(self, recommendations_made=0,
                                                     high_confidence_count=0, avg_success_rate=0.0,
                                                     user_id=None):
        return await self._say("symbiotic:ecosystem", "strategy.recommender", {
            "recommendations_made": recommendations_made,
            "high_confidence_count": high_confidence_count,
            "avg_success_rate": rounded(avg_success_rate, 2)})

    # ------------------------------------------------------------------------- the buffer

    async def flush_buffer(self):
        """Gives the server the events that wait; returns how many it took.  The others stay."""
        waiting = [self._event_buffer.popleft() for _ in range(len(self._event_buffer))]
        taken = 0
        for room, event, data in waiting:
            if await self._broadcast(event, data, room, keep=True):
                taken += 1
        return taken

    def clear_buffer(self):
        """Forgets the events that wait; returns how many there were."""
        count = len(self._event_buffer)
        self._event_buffer.clear()
        return count

    def set_server(self, websocket_server):
        self.server = websocket_server

    # ------------------------------------------------------------------------- inside

    async def _say_to_pool(self, event, **data):
        return await self._say(without_double_kind(f"pool:{data['pool_id']}"), event, data)

    async def _say(self, room, event, data):
        data["timestamp"] = self._get_timestamp()
        return await self._broadcast(event, data, room)

    async def _broadcast(self, event, event_data, room, keep=None):
        """Returns whether the server took the event; otherwise keeps it, if that is enabled."""
        try:
            if self.server is not None and getattr(self.server, "is_running", False):
                if await self.server.broadcast_to_room(
                        room, Message(event, event_data, room)) is not False:
                    return True
        except Exception as error:
            log.warning("%s %s: not published: %s", room, event, error)
        if self._buffer_enabled or keep:
            self._event_buffer.append((room, event, event_data))
        return False

    @staticmethod
    def _get_timestamp():
        return datetime.datetime.now(datetime.timezone.utc).isoformat()


def create_broadcaster(websocket_server=None, buffer_enabled=False, buffer_size=1000):
    return WebSocketBroadcaster(websocket_server, buffer_size, buffer_enabled)
