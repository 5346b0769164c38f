# SPDX-License-Identifier: MIT
"""The messages of the standard services, health and reflection, as protoc makes them of proto/grpc/.

protoc's Python code for them would hide the package grpc, so they are made of descriptors."""
import os
import subprocess

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from harness import SOURCE, temp_dir


def descriptor_set(folder="."):
    """The FileDescriptorSet of the .proto files below a folder of proto/, imports included."""
    proto = os.path.join(SOURCE, "proto")
    out = os.path.join(temp_dir(), "set.pb")
    files = subprocess.check_output(["find", folder, "-name", "*.proto"], cwd=proto, text=True).split()
    subprocess.check_call(["protoc", "-I.", "-I/usr/include", "--include_imports", "--descriptor_set_out=" + out]
                          + [os.path.normpath(f) for f in files], cwd=proto)
    with open(out, "rb") as f:
        return descriptor_pb2.FileDescriptorSet.FromString(f.read())


def pool_of(files):
    """A pool of FileDescriptorProtos; every import must stand before its user."""
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    return pool


def message_class(pool, name):
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))


_pool = pool_of(descriptor_set("grpc").file)


def standard(name):
    return message_class(_pool, name)
