"""fastblocks: components, pages, application state."""
from fanwire.services.base import WebSocketServer


class FastblocksWebSocketServer(WebSocketServer):
    service = "fastblocks"

    def __init__(self, host="127.0.0.1", port=8684, max_connections=100, message_rate_limit=60,
                 require_auth=False, cert_file=None, key_file=None, ca_file=None,
                 tls_enabled=False, verify_client=False, auto_cert=False, **fanwire):
        super().__init__(host, port, max_connections, message_rate_limit,
                         require_auth=require_auth, cert_file=cert_file, key_file=key_file,
                         ca_file=ca_file, tls_enabled=tls_enabled, verify_client=verify_client,
                         auto_cert=auto_cert, **fanwire)

    async def broadcast_ui_updated(self, component_id, metadata):
        return await self._say(f"ui:{component_id}", "ui.updated", metadata,
                               component_id=component_id)

    async def broadcast_component_rendered(self, component_id, render_info):
        return await self._say(f"component:{component_id}", "component.rendered", render_info,
                               component_id=component_id)

    async def broadcast_state_changed(self, state_path, new_value):
        return await self._say("state", "state.changed", state_path=state_path,
                               new_value=new_value)

    # ------------------------------------------------------------------------- planned

    async def broadcast_component_state_changed(self, component_id, path, old_value, new_value):
        """The other shape of state.changed: that of one component."""
        return await self._say(f"component:{component_id}", "state.changed",
                               component_id=component_id, path=path, old_value=old_value,
                               new_value=new_value)

    async def broadcast_component_mounted(self, component_id, page_id=None):
        return await self._say_given(f"component:{component_id}", "component.mounted",
                               component_id=component_id, page_id=page_id)

    async def broadcast_component_updated(self, component_id, changes=None):
        return await self._say_given(f"component:{component_id}", "component.updated",
                               component_id=component_id, changes=changes)

    async def broadcast_component_unmounted(self, component_id, page_id=None):
        return await self._say_given(f"component:{component_id}", "component.unmounted",
                               component_id=component_id, page_id=page_id)

    async def broadcast_render_started(self, component_id, page_id=None):
        return await self._say_given(f"component:{component_id}", "render.started",
                               component_id=component_id, page_id=page_id)

    async def broadcast_render_completed(self, component_id, page_id=None):
        return await self._say_given(f"component:{component_id}", "render.completed",
                               component_id=component_id, page_id=page_id)

    async def broadcast_render_failed(self, component_id=None, page_id=None, error=None):
        return await self._say_given("render", "render.failed", component_id=component_id,
                               page_id=page_id, error=error)

    async def broadcast_page_rendered(self, page_id, duration_ms=None):
        return await self._say_given(f"page:{page_id}", "page.rendered", page_id=page_id,
                               duration_ms=duration_ms)

    async def broadcast_hot_reload_triggered(self, files=None):
        return await self._say_given("hot_reload", "hot_reload.triggered", files=files)

    # The guide's names.

    async def broadcast_fastblocks_ui_updated(self, page_id, changes):
        return await self._say(f"page:{page_id}", "fastblocks.ui_updated", page_id=page_id,
                               changes=changes)

    async def broadcast_fastblocks_component_rendered(self, component_id, page_id, html, state=None,
                                                      metadata=None):
        return await self._say_given(f"component:{component_id}", "fastblocks.component_rendered",
                               component_id=component_id, page_id=page_id, html=html, state=state,
                               metadata=metadata)

    async def broadcast_fastblocks_state_changed(self, component_id, state, page_id):
        return await self._say(f"component:{component_id}", "fastblocks.state_changed",
                               component_id=component_id, state=state, page_id=page_id)
