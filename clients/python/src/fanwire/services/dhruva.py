"""dhruva (dhara): stored adapters and their distribution."""
from fanwire.services.base import WebSocketServer


class DhruvaWebSocketServer(WebSocketServer):
    service = "dhruva"

    def __init__(self, storage_manager=None, host="127.0.0.1", port=8693, max_connections=1000,
                 message_rate_limit=100, **fanwire):
        super().__init__(host, port, max_connections, message_rate_limit, **fanwire)
        self.storage_manager = storage_manager

    async def broadcast_adapter_stored(self, adapter_id, metadata):
        return await self._say(f"adapter:{adapter_id}", "adapter.stored", metadata,
                               adapter_id=adapter_id)

    async def broadcast_adapter_updated(self, adapter_id, metadata):
        return await self._say(f"adapter:{adapter_id}", "adapter.updated", metadata,
                               adapter_id=adapter_id)

    async def broadcast_storage_event(self, storage_type, event_data):
        return await self._say(f"storage:{storage_type}", "storage.event", event_data,
                               storage_type=storage_type)

    async def broadcast_adapter_distributed(self, adapter_id=None, targets=None):
        return await self._say_given("distribution", "adapter.distributed", adapter_id=adapter_id,
                               targets=targets)

    async def broadcast_adapter_activated(self, adapter_id, repo, version, config):
        return await self._say(f"adapter:{adapter_id}", "adapter.activated",
                               adapter_id=adapter_id, repo=repo, version=version, config=config)

    async def broadcast_adapter_deactivated(self, adapter_id, repo, reason):
        return await self._say(f"adapter:{adapter_id}", "adapter.deactivated",
                               adapter_id=adapter_id, repo=repo, reason=reason)

    async def broadcast_adapter_swapped(self, old_adapter, new_adapter, repo):
        return await self._say(f"distribution:{repo}", "adapter.swapped", old_adapter=old_adapter,
                               new_adapter=new_adapter, repo=repo)

    async def broadcast_distribution_completed(self, repo, adapters_count, adapters,
                                               duration_ms=None, duration=None):
        return await self._say_given(f"distribution:{repo}", "distribution.completed", repo=repo,
                               adapters_count=adapters_count, adapters=adapters,
                               duration_ms=duration_ms, duration=duration)

    async def broadcast_registry_updated(self, version, added, removed, updated):
        return await self._say("registry", "registry.updated", version=version, added=added,
                               removed=removed, updated=updated)

    async def broadcast_lifecycle_changed(self, entity_type, entity_id, old_state, new_state):
        return await self._say("lifecycle", "lifecycle.changed", entity_type=entity_type,
                               entity_id=entity_id, old_state=old_state, new_state=new_state)


DharaWebSocketServer = DhruvaWebSocketServer  # the service's other name
