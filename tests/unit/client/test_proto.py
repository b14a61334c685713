"""The client's messages are those of the contract, in a descriptor pool of their own."""

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from mnist_digits import proto
from protos.mnist.v1 import digits_pb2


def test_the_contract_is_the_servers_in_another_pool() -> None:
    ours, servers = FileDescriptorProto(), FileDescriptorProto()
    proto.DESCRIPTOR.CopyToProto(ours)
    digits_pb2.DESCRIPTOR.CopyToProto(servers)
    for field in (field for message in ours.message_type for field in message.field):
        field.ClearField("json_name")  # protoc describes it, and leaves it out of generated code
    assert ours == servers
    assert proto.DESCRIPTOR.pool is not descriptor_pool.Default()


def test_every_name_that_the_generated_code_has_is_there() -> None:
    public = {name for name in vars(digits_pb2) if not name.startswith("_")}
    assert public <= set(vars(proto))
    assert all(getattr(proto, name) == getattr(digits_pb2, name) for name in public if name.isupper() and "_" in name)
