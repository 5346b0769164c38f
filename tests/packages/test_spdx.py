# SPDX-License-Identifier: MIT
"""test_spdx.py BUILD_DIR DOCUMENT: has SPDX's own tools judge the document that says what packages or an image contain,
and looks there for the libraries that the programs of the packages beside it are linked with."""
import glob
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "real"))
import registry  # noqa: E402

build, path = sys.argv[1:]


def output(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def needed(folder):
    """The sonames that the ELF files in the folder need."""
    files = [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]
    lines = subprocess.run(["readelf", "-d", *files], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return {line.split("[")[1].rstrip("]") for line in lines.splitlines() if "(NEEDED)" in line}


def owners(soname):
    """Which package's library it is here, where the packages have been built; with its version."""
    lines = output("dpkg", "--search", "*/" + soname).splitlines()
    names = {line.split(":")[0] for line in lines if line.endswith("/" + soname)}
    return {tuple(line.split()) for line in output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names).splitlines()}


with open(path, encoding="utf-8") as f:
    document = json.load(f)
packages = {(p["name"], p.get("versionInfo")) for p in document["packages"]}
assert any(f["fileName"] == "./usr/bin/brickd" for f in document["files"])
with tempfile.TemporaryDirectory() as folder:
    for deb in glob.glob(os.path.join(os.path.dirname(path), "*.deb")):
        assert (output("dpkg-deb", "--field", deb, "Package").strip(), output("dpkg-deb", "--field", deb, "Version").strip()) \
            in packages, deb
        if "-dbgsym_" not in deb:
            subprocess.run(["dpkg-deb", "--extract", deb, folder], check=True)
    libraries = needed(folder)
    for soname in libraries:
        assert owners(soname) & packages, (soname, owners(soname))
print(f"{os.path.basename(path)}: {len(document['files'])} files, {len(packages)} packages, {len(libraries)} libraries")

python = registry.pip(["spdx-tools==0.8.5"], os.path.join(build, "tests", "real", "spdx"))
subprocess.run([os.path.join(os.path.dirname(python), "pyspdxtools"), "--infile", path], check=True)
print("SPDX's tools find no mistake in it")
