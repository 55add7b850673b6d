"""Takes log records by OTLP over gRPC and prints each as one line of JSON, as an OpenTelemetry collector would hand it on.

    collector.py ADDRESS

Its gRPC is that of C++ and its messages are those that OpenTelemetry publishes for Python: nothing of it is weir's.
"""

import concurrent.futures
import json
import sys
import threading

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc


def plain(value):
    """What an AnyValue holds, in JSON's terms."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(value, kind)
    if kind == "array_value":
        return [plain(item) for item in held.values]
    if kind == "kvlist_value":
        return pairs(held.values)
    return held


def pairs(values):
    return {pair.key: plain(pair.value) for pair in values}


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    """Prints; one request after another, so that no line is torn."""

    lock = threading.Lock()

    def Export(self, request, context):
        with self.lock:
            for of_resource in request.resource_logs:
                for of_scope in of_resource.scope_logs:
                    for record in of_scope.log_records:
                        line = {
                            "resource": pairs(of_resource.resource.attributes),
                            "scope": of_scope.scope.name,
                            "nanoseconds": record.time_unix_nano,
                            "severity": record.severity_text,
                            "attributes": pairs(record.attributes),
                            "body": plain(record.body),
                        }
                        print(json.dumps(line), flush=True)
        return logs_service_pb2.ExportLogsServiceResponse()


server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2))
logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
if server.add_insecure_port(sys.argv[1]) == 0:
    sys.exit(f"cannot listen at {sys.argv[1]}")
server.start()
print("listening", flush=True)
server.wait_for_termination()
