"""crackerjack: test runs, quality gates, coverage."""
from fanwire.services.base import WebSocketServer


class CrackerjackWebSocketServer(WebSocketServer):
    service = "crackerjack"

    def __init__(self, qc_manager=None, host="127.0.0.1", port=8686, max_connections=1000,
                 message_rate_limit=100, require_auth=False, cert_file=None, key_file=None,
                 ca_file=None, tls_enabled=False, verify_client=False, auto_cert=False, **fanwire):
        super().__init__(host, port, max_connections, message_rate_limit,
                         require_auth=require_auth, cert_file=cert_file, key_file=key_file,
                         ca_file=ca_file, tls_enabled=tls_enabled, verify_client=verify_client,
                         auto_cert=auto_cert, **fanwire)
        self.qc_manager = qc_manager

    async def broadcast_test_started(self, run_id, test_suite, total_tests):
        return await self._say(f"test:{run_id}", "test.started", run_id=run_id,
                               test_suite=test_suite, total_tests=total_tests)

    async def broadcast_test_completed(self, run_id, tests_completed, tests_failed,
                                       duration_seconds):
        return await self._say(f"test:{run_id}", "test.completed", run_id=run_id,
                               tests_completed=tests_completed, tests_failed=tests_failed,
                               duration_seconds=duration_seconds)

    async def broadcast_test_failed(self, run_id, test_name, error, traceback):
        return await self._say(f"test:{run_id}", "test.failed", run_id=run_id,
                               test_name=test_name, error=error, traceback=traceback)

    async def broadcast_quality_gate_checked(self, project, gate_name, status, score, threshold,
                                             quality_gate_report=None):
        """Without a report, one is made of the other values."""
        if quality_gate_report is None:
            passed = str(status).lower() == "passed"
            quality_gate_report = {
                "repository": project, "passed": passed, "all_passed": passed,
                "checks": [{"name": gate_name, "passed": passed, "severity": "required",
                            "score": score, "threshold": threshold}]}
        return await self._say(f"quality:{project}", "quality_gate.checked", project=project,
                               gate_name=gate_name, status=status, score=score,
                               threshold=threshold, quality_gate_report=quality_gate_report)

    async def broadcast_coverage_updated(self, project, line_coverage, branch_coverage,
                                         path_coverage):
        """Goes to quality:{project}; control copies it to `coverage`."""
        return await self._say(f"quality:{project}", "coverage.updated", project=project,
                               line_coverage=line_coverage, branch_coverage=branch_coverage,
                               path_coverage=path_coverage)
