#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""oci.py ROOT.tar VERSION ARCHITECTURE IMAGE.tar: an archive of an image with one layer, by the OCI's Image Format 1.0.

The same root makes the same image."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

root, version, architecture, target = sys.argv[1:]
MEDIA = "application/vnd.oci.image."
LABELS = {
    "org.opencontainers.image.title": "brickd",
    "org.opencontainers.image.description": "A server for LLM bricks: gRPC, and HTTP with the API of OpenAI",
    "org.opencontainers.image.version": version,
    "org.opencontainers.image.licenses": "MIT",
}
blobs = {}


def add(kind, data):
    digest = hashlib.sha256(data).hexdigest()
    blobs[f"blobs/sha256/{digest}"] = data
    return {"mediaType": MEDIA + kind, "digest": "sha256:" + digest, "size": len(data)}


def as_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


with open(root, "rb") as f:
    layer = f.read()
second = 10 ** 9
config = {
    "created": "1970-01-01T00:00:00Z",
    "architecture": architecture,
    "os": "linux",
    "config": {
        "User": "65532:65532",
        "Entrypoint": ["/usr/bin/brickd"],
        "Cmd": ["-c", "/etc/brickd/brickd.yaml"],
        "Env": ["PATH=/usr/bin:/bin"],
        "WorkingDir": "/",
        "ExposedPorts": {"50051/tcp": {}, "8080/tcp": {}, "9464/tcp": {}},
        "StopSignal": "SIGTERM",
        "Labels": LABELS,
        "Healthcheck": {"Test": ["CMD", "/usr/bin/brickctl", "health"], "Interval": 10 * second,
                        "Timeout": 5 * second, "StartPeriod": 60 * second, "Retries": 3},
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "conf/packaging/build-image.sh"}],
}
packed = gzip.compress(layer, 9, mtime=0)
manifest = {
    "schemaVersion": 2,
    "mediaType": MEDIA + "manifest.v1+json",
    "config": add("config.v1+json", as_json(config)),
    "layers": [add("layer.v1.tar+gzip", packed)],
    "annotations": LABELS,
}
index = {
    "schemaVersion": 2,
    "manifests": [add("manifest.v1+json", as_json(manifest)) |
                  {"annotations": {"org.opencontainers.image.ref.name": f"brickd:{version}"}}],
}
blobs["index.json"] = as_json(index)
blobs["oci-layout"] = as_json({"imageLayoutVersion": "1.0.0"})

with tarfile.open(target + ".new", "w") as archive:
    for name in sorted(blobs):
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(blobs[name]), 0o644
        archive.addfile(member, io.BytesIO(blobs[name]))
os.rename(target + ".new", target)
print(f"{target}: brickd {version}, {len(packed) / 1e6:.1f} MB compressed, {len(layer) / 1e6:.1f} MB unpacked")
