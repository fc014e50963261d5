"""akosha: patterns, anomalies, insights, aggregations."""
from fanwire.services.base import WebSocketServer


class AkoshaWebSocketServer(WebSocketServer):
    service = "akosha"

    def __init__(self, analytics_engine=None, host="127.0.0.1", port=8692, max_connections=1000,
                 message_rate_limit=100, require_auth=False, cert_file=None, key_file=None,
                 ca_file=None, tls_enabled=False, verify_client=False, auto_cert=False, **fanwire):
        super().__init__(host, port, max_connections, message_rate_limit,
                         require_auth=require_auth, cert_file=cert_file, key_file=key_file,
                         ca_file=ca_file, tls_enabled=tls_enabled, verify_client=verify_client,
                         auto_cert=auto_cert, **fanwire)
        self.analytics_engine = analytics_engine

    async def broadcast_pattern_detected(self, pattern_id, pattern_type, description, confidence,
                                         metadata):
        return await self._say(f"patterns:{pattern_type}", "pattern.detected", metadata,
                               pattern_id=pattern_id, pattern_type=pattern_type,
                               description=description, confidence=confidence)

    async def broadcast_anomaly_detected(self, anomaly_id, anomaly_type, severity, description,
                                         metrics):
        return await self._say("anomalies", "anomaly.detected", anomaly_id=anomaly_id,
                               anomaly_type=anomaly_type, severity=severity,
                               description=description, metrics=metrics)

    async def broadcast_insight_generated(self, insight_id, insight_type, title, description, data):
        return await self._say("insights", "insight.generated", insight_id=insight_id,
                               insight_type=insight_type, title=title, description=description,
                               data=data)

    async def broadcast_aggregation_completed(self, aggregation_id, aggregation_type, record_count,
                                              summary):
        return await self._say("metrics", "aggregation.completed", aggregation_id=aggregation_id,
                               aggregation_type=aggregation_type, record_count=record_count,
                               summary=summary)
