"""Asks a collector for a report with nothing of evenkeel's: Python's gRPC, and what the server says of itself.

    ask.py ADDRESS CA CERT KEY

Prints as JSON: the services that reflection lists, what the health service says, and the report.
"""

import json
import pathlib
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def call(channel, pool, service, method, **fields):
    """One unary call; request and answer are of the types that the server describes."""
    described = pool.FindServiceByName(service).methods_by_name[method]
    request = GetMessageClass(described.input_type)(**fields)
    stub = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(described.output_type).FromString,
    )
    return json_format.MessageToDict(stub(request, timeout=30), preserving_proto_field_name=True)


def main():
    address, *files = sys.argv[1:]
    ca, certificate, key = (pathlib.Path(file).read_bytes() for file in files)
    # Every collector's certificate carries this name, whatever its address.
    options = [("grpc.ssl_target_name_override", "evenkeel-collector")]
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    with grpc.secure_channel(address, credentials, options) as channel:
        described = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(described)
        answer = {
            "services": sorted(described.get_services()),
            "health": call(channel, pool, "grpc.health.v1.Health", "Check"),
            "report": call(channel, pool, "evenkeel.report.v1.ReportService", "GetReport"),
        }
    print(json.dumps(answer))


main()
