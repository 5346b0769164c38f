#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""sbom.py NAME.buildinfo: what the Debian packages of that build are made of, as the SPDX 2.3 document NAME.spdx.json
beside them.
sbom.py IMAGE.tar: the same of an image that build-image.sh has made, as IMAGE.tar.spdx.json.

It has each file with its hashes, and each package with its version; of the packages that Debian's depend on, the
versions that they were built with. The same packages make the same document.
"""
import datetime
import email
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.parse
import uuid

OURS = {"supplier": "Organization: brickd developers", "licenseConcluded": "MIT", "licenseDeclared": "MIT",
        "copyrightText": "2026 the brickd authors"}
UNKNOWN = "NOASSERTION"


class Document:
    def __init__(self, name, when):
        self.name, self.when = name, when
        self.packages, self.files, self.relationships = [], [], []

    def relate(self, one, kind, other):
        self.relationships.append({"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other})

    def write(self, path):
        content = {"packages": self.packages, "files": self.files, "relationships": self.relationships}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        document = {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": self.name,
            "documentNamespace": f"https://spdx.org/spdxdocs/{self.name}-{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
            "creationInfo": {"created": self.when.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: brickd-sbom.py"]},
        } | content
        with open(path, "w", encoding="utf-8") as f:
            json.dump(document, f, indent=1, sort_keys=True)
            f.write("\n")

    def add_package(self, kind, name, version, **fields):
        package = {"SPDXID": identifier(kind, name), "name": name, "downloadLocation": UNKNOWN, "filesAnalyzed": False,
                   "licenseConcluded": UNKNOWN, "licenseDeclared": UNKNOWN, "copyrightText": UNKNOWN} | fields
        if version:
            package["versionInfo"] = version
        self.packages.append(package)
        return package["SPDXID"]

    def add_debian(self, name, version, architecture):
        """A package of Debian's; without a version, any will do."""
        url = f"pkg:deb/debian/{name}" + (f"@{urllib.parse.quote(version)}" if version else "")
        return self.add_package("Package", name, version, supplier="Organization: Debian", externalRefs=[
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": f"{url}?arch={architecture}"}])

    def add_with_files(self, kind, name, version, content, archive, **fields):
        """A package with the content that a file has, and whose files are those of the tar archive."""
        here = self.add_package(kind, name, version, checksums=hashes(content)[1:], **fields)
        licence = self.packages[-1]["licenseConcluded"]
        sums = []
        for member in archive:
            if member.isfile():
                found = hashes(archive.extractfile(member).read())
                sums.append(found[0]["checksumValue"])
                self.add_file(here, member.name, found, licence)
        code = hashlib.sha1("".join(sorted(sums)).encode()).hexdigest()
        self.packages[-1] |= {"filesAnalyzed": True, "packageVerificationCode": {"packageVerificationCodeValue": code}}
        self.relate("SPDXRef-DOCUMENT", "DESCRIBES", here)
        return here

    def add_file(self, package, path, checksums, licence):
        path = "./" + path.removeprefix("./")
        name = identifier("File", package, path)
        self.files.append({"SPDXID": name, "fileName": path, "checksums": checksums, "licenseConcluded": licence,
                           "copyrightText": UNKNOWN})
        self.relate(package, "CONTAINS", name)


def identifier(kind, *names):
    """Two names have two identifiers, whatever letters they have."""
    text = "-".join(names)
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", text)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"SPDXRef-{kind}-{plain}" + ("" if plain == text else f"-{digest}")


def hashes(data):
    return [{"algorithm": name.upper(), "checksumValue": hashlib.new(name, data).hexdigest()} for name in ("sha1", "sha256")]


def fields(text):
    """A paragraph of Debian's control files."""
    return dict(email.message_from_string(text).items())


def read(path):
    with open(path, "rb") as f:
        return f.read()


def deb(*args):
    return subprocess.run(["dpkg-deb", *args], check=True, stdout=subprocess.PIPE).stdout


def dependencies(control):
    """Of alternatives, the first, which is what a new system gets."""
    for item in filter(None, re.split(r"\s*,\s*", control.get("Depends", ""))):
        yield re.match(r"[a-z0-9.+-]+", item)[0]


def epoch():
    return datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)


def add_source(document, name, version, folder):
    version = version.rpartition("-")[0]
    file = f"{name}_{version}.orig.tar.xz"
    return document.add_package("Source", name, version, packageFileName=file, primaryPackagePurpose="SOURCE",
                                checksums=hashes(read(os.path.join(folder, file)))[1:], **OURS)


def of_packages(buildinfo):
    folder, built = os.path.dirname(buildinfo), fields(read(buildinfo).decode())
    versions = dict(re.findall(r"(\S+) \(= (\S+)\)", built["Installed-Build-Depends"]))
    document = Document(os.path.basename(buildinfo).removesuffix(".buildinfo"), epoch())
    source = add_source(document, built["Source"], built["Version"], folder)
    ours, wanted = {}, {}
    for path in sorted(os.path.join(folder, word) for word in built["Checksums-Sha256"].split() if word.endswith(".deb")):
        control = fields(deb("--field", path).decode())
        name = control["Package"]
        with tarfile.open(fileobj=io.BytesIO(deb("--fsys-tarfile", path))) as archive:
            ours[name] = document.add_with_files("Package", name, control["Version"], read(path), archive,
                                                 packageFileName=os.path.basename(path), **OURS)
        document.relate(ours[name], "GENERATED_FROM", source)
        wanted[name] = list(dependencies(control))
    theirs = {name: document.add_debian(name, versions.get(name), built["Build-Architecture"])
              for name in sorted({n for names in wanted.values() for n in names} - ours.keys())}
    for name, names in wanted.items():
        for other in names:
            document.relate(ours[name], "DEPENDS_ON", (ours | theirs)[other])
    document.write(buildinfo.removesuffix(".buildinfo") + ".spdx.json")


def of_image(path):
    with tarfile.open(path) as image:
        def blob(descriptor):
            return image.extractfile("blobs/" + descriptor["digest"].replace(":", "/")).read()
        manifest = json.loads(blob(json.load(image.extractfile("index.json"))["manifests"][0]))
        layer = gzip.decompress(blob(manifest["layers"][0]))
    version = manifest["annotations"]["org.opencontainers.image.version"]
    document = Document(f"brickd-image-{version}", epoch())
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        status = archive.extractfile("./var/lib/dpkg/status").read().decode()
        here = document.add_with_files("Image", "brickd", version, read(path), archive, supplier=OURS["supplier"],
                                       packageFileName=os.path.basename(path), primaryPackagePurpose="CONTAINER")
    for control in map(fields, filter(None, status.split("\n\n"))):
        name, version = control["Package"], control["Version"]
        inside = (document.add_package("Package", name, version, **OURS) if name == "brickd"
                  else document.add_debian(name, version, control["Architecture"]))
        document.relate(here, "CONTAINS", inside)
    document.write(path + ".spdx.json")


(of_packages if sys.argv[1].endswith(".buildinfo") else of_image)(sys.argv[1])
