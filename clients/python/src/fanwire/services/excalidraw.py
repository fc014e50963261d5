"""excalidraw: diagrams, cursors, who is there."""
from fanwire.services.base import WebSocketServer


class ExcalidrawWebSocketServer(WebSocketServer):
    service = "excalidraw"

    def __init__(self, diagram_manager=None, host="127.0.0.1", port=3042, max_connections=100,
                 message_rate_limit=60, require_auth=False, cert_file=None, key_file=None,
                 ca_file=None, tls_enabled=False, verify_client=False, auto_cert=False, **fanwire):
        super().__init__(host, port, max_connections, message_rate_limit,
                         require_auth=require_auth, cert_file=cert_file, key_file=key_file,
                         ca_file=ca_file, tls_enabled=tls_enabled, verify_client=verify_client,
                         auto_cert=auto_cert, **fanwire)
        self.diagram_manager = diagram_manager

    async def broadcast_diagram_created(self, diagram_id, metadata):
        return await self._say(f"diagram:{diagram_id}", "diagram.created", metadata,
                               diagram_id=diagram_id)

    async def broadcast_diagram_updated(self, diagram_id, metadata):
        return await self._say(f"diagram:{diagram_id}", "diagram.updated", metadata,
                               diagram_id=diagram_id)

    async def broadcast_cursor_moved(self, diagram_id, user_id, position):
        return await self._say(f"cursor:{diagram_id}", "cursor.moved", diagram_id=diagram_id,
                               user_id=user_id, position=position)

    async def broadcast_user_joined(self, diagram_id, user_id, user_info):
        return await self._say(f"presence:{diagram_id}", "user.joined", diagram_id=diagram_id,
                               user_id=user_id, user_info=user_info)

    async def broadcast_user_left(self, diagram_id, user_id):
        return await self._say(f"presence:{diagram_id}", "user.left", diagram_id=diagram_id,
                               user_id=user_id)

    # ------------------------------------------------------------------------- planned

    async def broadcast_diagram_saved(self, diagram_id, version=None):
        return await self._say_given(f"diagram:{diagram_id}", "diagram.saved",
                                     diagram_id=diagram_id, version=version)

    async def broadcast_diagram_locked(self, diagram_id, user_id=None):
        return await self._say_given(f"diagram:{diagram_id}", "diagram.locked",
                                     diagram_id=diagram_id, user_id=user_id)

    async def broadcast_element_added(self, diagram_id, element_id=None, element=None):
        return await self._say_given(f"diagram:{diagram_id}", "element.added",
                                     diagram_id=diagram_id, element_id=element_id, element=element)

    async def broadcast_element_updated(self, diagram_id, element_id=None, element=None):
        return await self._say_given(f"diagram:{diagram_id}", "element.updated",
                                     diagram_id=diagram_id, element_id=element_id, element=element)

    async def broadcast_element_deleted(self, diagram_id, element_id=None):
        return await self._say_given(f"diagram:{diagram_id}", "element.deleted",
                                     diagram_id=diagram_id, element_id=element_id)

    async def broadcast_room_cursor_moved(self, room, user_id, x, y, color=None):
        return await self._say_given(f"collaboration:{room}", "cursor.moved", user_id=user_id, x=x,
                                     y=y, color=color)

    async def broadcast_room_user_joined(self, room, user_id, user_info=None):
        return await self._say_given(f"collaboration:{room}", "user.joined", user_id=user_id,
                                     user_info=user_info)

    async def broadcast_room_user_left(self, room, user_id):
        return await self._say(f"collaboration:{room}", "user.left", user_id=user_id)

    async def broadcast_selection_changed(self, room, user_id, element_ids):
        return await self._say(f"collaboration:{room}", "selection.changed", user_id=user_id,
                               element_ids=element_ids)
