"""The messages of mnist.v1, made at import from the contract's compiled description, digits.binpb.

The code that protoc generates refuses a protobuf older than its compiler and registers its messages for the whole
process. These messages work with any supported protobuf, and their descriptor pool is their own, so that tritonclient
or a program's own code of the same contract may live in the same environment and process.

`make proto` writes digits.binpb, and proto.pyi for type checkers.
"""

from pathlib import Path

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

_pool = DescriptorPool()
_pool.AddSerializedFile(Path(__file__).with_name("digits.binpb").read_bytes())

DESCRIPTOR = _pool.FindFileByName("protos/mnist/v1/digits.proto")

for _name, _enum in DESCRIPTOR.enum_types_by_name.items():
    globals()[_name] = EnumTypeWrapper(_enum)
    globals().update({value.name: value.number for value in _enum.values})
for _name, _message in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = GetMessageClass(_message)
