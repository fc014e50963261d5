"""The helpers of the earlier Python services, with Fanwire behind them: change the import.

    from mahavishnu.websocket.integration import WebSocketBroadcaster, start_websocket_server
    from fanwire.broadcaster import WebSocketBroadcaster, start_websocket_server

start_websocket_server() starts nothing: it connects to control and returns a handle with the
attributes and methods of the earlier server.  No helper raises, unless it is asked to, and none
blocks the event loop: an event is taken into the buffer of a publisher, which sends it when control
is there.  They return whether the event was taken.

The classes of the other services' servers are here as well (AkoshaWebSocketServer …).  The other
WebSocketBroadcaster, that of mahavishnu/pools/websocket, is in fanwire.pools_broadcaster: its
methods take their arguments in another order.
"""
import inspect

from fanwire.errors import PublisherError
from fanwire.services.akosha import AkoshaWebSocketServer
from fanwire.services.base import Message, WebSocketServer, log
from fanwire.services.crackerjack import CrackerjackWebSocketServer
from fanwire.services.dhruva import DharaWebSocketServer, DhruvaWebSocketServer
from fanwire.services.excalidraw import ExcalidrawWebSocketServer
from fanwire.services.fastblocks import FastblocksWebSocketServer
from fanwire.services.mahavishnu import MahavishnuWebSocketServer
from fanwire.services.session_buddy import SessionBuddyWebSocketServer

__all__ = [
    "AkoshaWebSocketServer", "CrackerjackWebSocketServer", "DharaWebSocketServer",
    "DhruvaWebSocketServer", "ExcalidrawWebSocketServer", "FastblocksWebSocketServer",
    "MahavishnuWebSocketServer", "Message", "SessionBuddyWebSocketServer", "WebSocketBroadcaster",
    "WebSocketServer", "broadcast_adapter_event", "broadcast_pool_event",
    "broadcast_workflow_event", "get_websocket_status", "start_websocket_server",
    "stop_websocket_server"]


async def start_websocket_server(pool_manager=None, settings=None, host=None, port=None,
                                 tls_enabled=None, cert_file=None, key_file=None, ca_file=None,
                                 verify_client=False, auto_cert=False, event_transport=None,
                                 notification_router=None, dead_letter_queue=None, *,
                                 server_class=MahavishnuWebSocketServer, **fanwire):
    """Connects to control and returns the handle of a service; None if `settings` disable it, or if
    anything is wrong with the arguments.

    If control is away, the handle is returned as well, and events wait.  The event bus of the last
    three arguments needs the earlier server: with it, None is returned.  server_class chooses
    another service; `fanwire` are the further arguments of WebSocketServer.
    """
    if not getattr(settings, "websocket_enabled", True):
        log.info("the WebSocket server is disabled in the settings")
        return None
    try:
        if event_transport is not None:
            raise ValueError("event_transport: Fanwire does not read an event bus; publish its "
                             "events with the server's publisher")
        address = {"host": host or getattr(settings, "websocket_host", None),
                   "port": port or getattr(settings, "websocket_port", None)}
        managed = next(iter(inspect.signature(server_class).parameters)) != "host"
        server = server_class(
            *([pool_manager] if managed else []),
            **{key: value for key, value in address.items() if value},
            tls_enabled=bool(tls_enabled), cert_file=cert_file, key_file=key_file, ca_file=ca_file,
            verify_client=verify_client, auto_cert=auto_cert, **fanwire)
        await server.start()
    except Exception as error:
        log.error("not started: %s", error)
        return None
    return server


async def stop_websocket_server(server):
    """Sends what waits and ends the connection.  None is allowed."""
    if server is None:
        return
    try:
        await server.stop()
    except Exception as error:
        log.error("stopping: %s", error)


def get_websocket_status(server):
    """Returns the service's state.  Asks control for the numbers, for at most half a second; they
    are 0 if it does not answer.
    """
    if server is None:
        return {"enabled": False, "status": "not_initialized", "host": "127.0.0.1", "port": 8690,
                "secure": False}
    status = server.control_status() if server.is_running else {}
    return {"enabled": True, "status": "running" if server.is_running else "stopped",
            "host": server.host, "port": server.port, "uri": server.uri, "secure": server.secure,
            "connections": status.get("connections", 0), "rooms": status.get("rooms", 0)}


async def broadcast_workflow_event(server, event_type, workflow_id, data):
    """event_type is started, stage_completed, completed or failed."""
    if server is None or not server.is_running:
        return False

    async def say():
        if event_type == "started":
            return await server.broadcast_workflow_started(workflow_id, data)
        if event_type == "stage_completed":
            return await server.broadcast_workflow_stage_completed(
                workflow_id, data.get("stage_name", "unknown"), data.get("result", {}))
        if event_type == "completed":
            return await server.broadcast_workflow_completed(workflow_id, data)
        if event_type == "failed":
            return await server.broadcast_workflow_failed(workflow_id,
                                                          data.get("error", "Unknown error"))
        raise ValueError(f"unknown type of workflow event: {event_type}")
    return await _told(server, say)


async def broadcast_pool_event(server, event_type, pool_id, data):
    """event_type is status_changed or worker_status_changed."""
    if server is None or not server.is_running:
        return False

    async def say():
        if event_type == "status_changed":
            return await server.broadcast_pool_status_changed(pool_id, data)
        if event_type == "worker_status_changed":
            return await server.broadcast_worker_status_changed(
                data.get("worker_id", "unknown"), data.get("status", "unknown"), pool_id)
        raise ValueError(f"unknown type of pool event: {event_type}")
    return await _told(server, say)


async def broadcast_adapter_event(server, event_type, adapter_id, metadata):
    """For dhara: event_type is stored or updated."""
    if server is None or not server.is_running:
        return False

    async def say():
        if event_type == "stored":
            return await server.broadcast_adapter_stored(adapter_id, metadata)
        if event_type == "updated":
            return await server.broadcast_adapter_updated(adapter_id, metadata)
        raise ValueError(f"unknown type of adapter event: {event_type}")
    return await _told(server, say)


async def _told(server, say):
    """Returns whether say() took the event; raises only if the server is to."""
    try:
        return await say() is not False
    except Exception as error:
        if getattr(server, "raise_errors", None) is True and isinstance(
                error, (PublisherError, TypeError, ValueError)):
            raise
        log.error("not published: %s", error)
        return False


class WebSocketBroadcaster:
    """That of mahavishnu/websocket/integration.py, and dhara's."""

    def __init__(self, server):
        self.server = server

    async def workflow_started(self, workflow_id, metadata):
        return await broadcast_workflow_event(self.server, "started", workflow_id, metadata)

    async def workflow_stage_completed(self, workflow_id, stage_name, result):
        return await broadcast_workflow_event(self.server, "stage_completed", workflow_id,
                                              {"stage_name": stage_name, "result": result})

    async def workflow_completed(self, workflow_id, result):
        return await broadcast_workflow_event(self.server, "completed", workflow_id, result)

    async def workflow_failed(self, workflow_id, error):
        return await broadcast_workflow_event(self.server, "failed", workflow_id, {"error": error})

    async def pool_status_changed(self, pool_id, status):
        return await broadcast_pool_event(self.server, "status_changed", pool_id, status)

    async def worker_status_changed(self, worker_id, status, pool_id):
        return await broadcast_pool_event(self.server, "worker_status_changed", pool_id,
                                          {"worker_id": worker_id, "status": status})

    async def adapter_stored(self, adapter_id, metadata):
        return await broadcast_adapter_event(self.server, "stored", adapter_id, metadata)

    async def adapter_updated(self, adapter_id, metadata):
        return await broadcast_adapter_event(self.server, "updated", adapter_id, metadata)
