# SPDX-License-Identifier: MIT
"""What 1.0 promises: what an earlier 1.x took is taken, on a machine that has all that it names (tests/config); and the JSON of
brickctl has the keys that it had (tests/names)."""
import getpass
import glob
import json
import os
import re
import shutil
import subprocess
import sys

import yaml

from harness import BUILD, LIBEXEC, SOURCE, Brickd, eq, main, temp_dir, test
from pki import Authority

KEPT = os.path.join(SOURCE, "tests", "config")
NAMES = os.path.join(SOURCE, "tests", "names")
PROGRAM = os.path.join(SOURCE, "tests", "integration", "llm_program.py")
MODULES = os.path.join(BUILD, "src", "bricks")
BRICKD = os.path.join(BUILD, "src", "brickd")
BUILT_IN = {"process", "python", "remote"}
# Names that still work, and those that took their place.
FORMER = {"first_token_timeout": "first_token", "idle_timeout": "stall"}
# Where the files have what is on their machine.
PLACES = ("/etc/brickd", "/srv", "/var/lib/brickd")


def put(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o600)


class Machine:
    """A folder with a copy of the files of one version, and what they name."""

    def __init__(self, version):
        self.folder = temp_dir()
        shutil.copytree(os.path.join(KEPT, version), self.folder, dirs_exist_ok=True)
        authority = Authority(os.path.join(self.folder, "pki"))
        authority.issue("server")
        for name, file in (("tls.crt", "server.pem"), ("tls.key", "server.key"), ("clients.crt", "ca.pem"),
                           ("server.pem", "server.pem"), ("server.key", "server.key"), ("client.pem", "server.pem"),
                           ("client.key", "server.key"), ("clients.pem", "ca.pem"), ("backends.pem", "ca.pem")):
            with open(authority.path(file)) as f:
                put(self.folder, os.path.join("tls", name), f.read())
        for name in "openai", "openai.key", "chat-token", "key":
            put(self.folder, name, "secret\n")
        for name in "lib", "bricks/nlp":
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        put(self.folder, "bricks/chat/grpc_server.py", "")
        os.makedirs(os.path.join(self.folder, "venv", "bin"))
        os.symlink("/usr/bin/python3", os.path.join(self.folder, "venv", "bin", "python"))
        put(self.folder, "identities.yaml", "identities: []\n")
        shutil.copytree(MODULES, os.path.join(self.folder, "modules"), ignore=shutil.ignore_patterns("*.p", "tests", "corpus-*"))
        shutil.copy(os.path.join(MODULES, "guard-rules", "default.model"), self.folder)
        self.env = os.environ | LIBEXEC | {
            "BRICKD_DATA": MODULES, "BRICKD_MODULES": MODULES, "CREDENTIALS_DIRECTORY": self.folder, "PLACE": self.folder,
            "LLM_API_KEY": "secret"}
        for path in glob.glob(os.path.join(self.folder, "*.yaml")):
            with open(path) as f:
                text = f.read()
            for place in PLACES:
                text = text.replace(place, self.folder)
            if os.geteuid() != 0:  # and so may not change to another user
                text = text.replace("user: nobody", f"user: {getpass.getuser()}")
            with open(path, "w") as f:
                f.write(text.replace("/usr/share/brickd/manual.db", os.path.join(BUILD, "man", "manual.db")))

    def configurations(self):
        """All that are no data of a brick."""
        for path in sorted(glob.glob(os.path.join(self.folder, "*.yaml"))):
            with open(path) as f:
                if re.search("^ports:", f.read(), re.MULTILINE):
                    yield path


def versions():
    return sorted(name for name in os.listdir(KEPT) if name[0].isdigit())


def former_names(path):
    """The place of the value of each, as the log names it, and the name."""
    with open(path) as f:
        for number, line in enumerate(f, 1):
            for name in re.finditer(rf" ({'|'.join(FORMER)}): ", line):
                yield f"{path}:{number}:{name.end() + 1}", name[1]


@test
def every_configuration_is_taken():
    for version in versions():
        machine = Machine(version)
        for path in machine.configurations():
            done = subprocess.run([BRICKD, "--check", path], env=machine.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=60)
            eq(done.returncode, 0, f"{version}/{os.path.basename(path)}: {done.stdout}")
            for place, old in former_names(path):
                assert f"{place}: {old} is the former name of {FORMER[old]}" in done.stdout, (place, done.stdout)


@test
def every_file_of_identities_is_taken():
    for version in versions():
        for path in glob.glob(os.path.join(KEPT, version, "identities", "*.yaml")):
            with open(path) as f:
                names = [entry["name"] for entry in yaml.safe_load(f)["identities"]]
            own = shutil.copy(path, temp_dir())
            os.chmod(own, 0o600)
            running = Brickd("  - { name: echo, module: echo, options: { type: LLM } }\n", modules=MODULES,
                             extra=f"identities: {own}")
            with running:
                said = json.loads(running.ctl("identities", "--json").stdout)
                eq([entry["name"] for entry in said], names)


def keys_of(value, path=""):
    """The paths of all keys of a value; lists do not count."""
    if isinstance(value, list):
        for item in value:
            yield from keys_of(item, path)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield path + key
            yield from keys_of(inner, path + key + ".")


def keys_of_schema(schema, node, path=""):
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    for choice in node.get("anyOf", []) + node.get("oneOf", []):
        yield from keys_of_schema(schema, choice, path)
    if "items" in node:
        yield from keys_of_schema(schema, node["items"], path)
    for key, inner in node.get("properties", {}).items():
        yield path + key
        yield from keys_of_schema(schema, inner, path + key + ".")


def kept():
    """All configurations, as data."""
    for path in glob.glob(os.path.join(KEPT, "*", "*.yaml")):
        with open(path) as f:
            value = yaml.load(f, yaml.BaseLoader)  # in which `on` is a word
        if "ports" in value:
            yield value


@test
def every_key_is_in_one():
    with open(os.path.join(SOURCE, "conf", "brickd.schema.json")) as f:
        schema = json.load(f)
    used = {key for value in kept() for key in keys_of(value)}
    eq(sorted(set(keys_of_schema(schema, schema)) - used), [], "keys that no kept file uses")


def options_of(module):
    """The paths of the options, as `brickd --describe` prints them: each level 4 columns further in."""
    done = subprocess.run([BRICKD, "--describe", module], env=os.environ | LIBEXEC | {"BRICKD_MODULES": MODULES}, capture_output=True,
                          text=True, timeout=60, check=True)
    path = []
    for line in done.stdout.partition("options:\n")[2].splitlines():
        found = re.match(r"( +)([a-z_-]+): (.*)", line)
        if found and len(found[1]) % 4 == 2 and is_option(found[3]):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            yield ".".join(path)


def is_option(text):
    """And no summary that has a colon."""
    return re.match(r"(one or a list of |list of )?(one of|string|path|whole|number|duration|size|map|list|true|secret|name|any)",
                    text)


def flat(path):
    """The steps of a pipeline have steps."""
    return re.sub(r"^steps\.(?:(?:parallel|steps|else)\.)+", "steps.", path)


@test
def every_option_is_in_one():
    used = {}
    for value in kept():
        for brick in value.get("bricks", []):
            paths = used.setdefault(os.path.basename(brick["module"]).removesuffix(".so"), set())
            paths |= {flat(path) for path in keys_of(brick.get("options") or {})}
    built = {name[:-3] for name in os.listdir(MODULES) if name.endswith(".so")}
    for module in sorted(built | BUILT_IN):
        options = set(options_of(module))
        assert options, module
        eq(sorted(options - used[module]), [], f"options of {module} that no kept file uses")


@test
def the_json_of_brickctl_has_its_keys():
    bricks = f"""  - {{ name: echo, module: echo, options: {{ type: LLM }} }}
  - {{ name: far, module: remote, options: {{ type: Rectify, to: "unix:/no/such" }} }}
  - {{ name: apart, module: process, options: {{ type: Intention, command: [{sys.executable}, {PROGRAM}] }} }}
"""
    folder = temp_dir()
    shutil.copy(os.path.join(KEPT, "1.0", "identities", "every-key.yaml"), folder)
    os.chmod(os.path.join(folder, "every-key.yaml"), 0o600)
    running = Brickd(bricks, modules=MODULES, extra=f"identities: {folder}/every-key.yaml")
    with running:
        running.ctl("reload")
        found = set()
        for command in ("status",), ("list",), ("identities",), ("top", "--count", "1"):
            said = json.loads(running.ctl(*command, "--json").stdout)
            found |= {f"{command[0]} {key}" for key in keys_of(said)}
    for version in os.listdir(NAMES):
        with open(os.path.join(NAMES, version, "json")) as f:
            eq(sorted(set(f.read().splitlines()) - found), [], "keys that are missing")


main()
