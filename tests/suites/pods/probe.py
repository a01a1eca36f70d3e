"""Probes a container as the kubelet does, from inside of its network: without a certificate, and with nothing of evenkeel's.

    probe.py httpGet PORT PATH TIMEOUT
    probe.py grpc PORT SERVICE TIMEOUT

Prints what was answered. Exit code 0: the kubelet would be content; 1: it would not.
"""

import sys
import urllib.error
import urllib.request

import grpc

# Of grpc.health.v1: a request is field 1, the service's name; an answer is field 1, one of these.
STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def http_get(port, path, timeout):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
            return answer.status, True
    except urllib.error.HTTPError as error:
        return error.code, False
    except OSError as error:
        return error, False


def grpc_check(port, service, timeout):
    name = service.encode()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=lambda text: b"\x0a" + bytes([len(text)]) + text,
            response_deserializer=lambda answer: STATUS[answer[1] if answer else 0],
        )
        try:
            status = check(name, timeout=timeout)
        except grpc.RpcError as error:
            return error.code().name, False
        return status, status == "SERVING"


kind, port, what, timeout = sys.argv[1:]
said, content = {"httpGet": http_get, "grpc": grpc_check}[kind](port, what, float(timeout))
print(said)
sys.exit(0 if content else 1)
