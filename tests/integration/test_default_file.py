# SPDX-License-Identifier: MIT
"""conf/brickd.yaml: what stands there as a comment works when the mark is taken away."""
import os
import re
import socket
import subprocess

from harness import BUILD, LIBEXEC, SOURCE, eq, free_port, main, temp_dir, test, wait_for
from pki import Authority

MARKED = re.compile(r"^( *)# (.*)$")
YAML = re.compile(r"^ *(- )?[a-z_]+:( |$)")
BRICKD = os.path.join(BUILD, "src", "brickd")
BRICKCTL = os.path.join(BUILD, "src", "ctl", "brickctl")


def is_yaml(text):
    """And no sentence: these end."""
    text = re.sub(r"(^|  +)# .*", "", text)
    return YAML.match(text) and not text.endswith(".") and ". " not in text


def blocks(lines):
    """The numbers of the lines of each block that is a comment."""
    found, block, depth = [], [], 0
    for number, line in enumerate(lines):
        match = MARKED.match(line)
        text = match and match[2]
        indent = len(text) - len(text.lstrip(" -")) if text else 0
        if text and block and indent > depth and not text[depth:].startswith("- "):
            block.append(number)  # more of it
            continue
        if block:
            found.append(block)
            block = []
        if text and is_yaml(text):
            block, depth = [number], len(text) - len(text.lstrip())
    return found + ([block] if block else [])


def uncommented(lines, numbers):
    return [MARKED.sub(r"\1\2", line) if number in numbers else line for number, line in enumerate(lines)]


class Place:
    """A machine on which everything is there that the comments name."""

    def __init__(self):
        self.folder = temp_dir()
        self.config = os.path.join(self.folder, "brickd.yaml")
        authority = Authority(os.path.join(self.folder, "pki"))
        authority.issue("server")
        for name, file in ("tls.crt", "server.pem"), ("tls.key", "server.key"), ("clients.crt", "ca.pem"):
            with open(authority.path(file)) as f, open(os.path.join(self.folder, name), "w") as to:
                to.write(f.read())
        os.chmod(os.path.join(self.folder, "tls.key"), 0o600)
        with open(os.path.join(self.folder, "openai"), "w") as f:
            f.write("sk-secret")
        self.ports = {str(port): str(free_port()) for port in (50051, 50052, 8080, 9464)}
        data = {"BRICKD_DATA": os.path.join(BUILD, "src", "bricks"),
                "BRICKD_MODULES": os.path.join(BUILD, "src", "bricks"),
                "BRICKD_LIBEXEC": os.path.join(BUILD, "src", "bricks", "retrieval-fts"),
                "BRICKD_BIN": os.path.join(BUILD, "src")}
        self.env = os.environ | LIBEXEC | data | {"CREDENTIALS_DIRECTORY": self.folder, "RUNTIME_DIRECTORY": self.folder,
                                                  "BRICKD_CONFIG": self.config}
        text = os.path.join(self.folder, "text")
        os.mkdir(text)
        with open(os.path.join(text, "a.txt"), "w") as f:
            f.write("Shared memory is memory that processes share.")
        self.run(BRICKCTL, "index", "--db", os.path.join(self.folder, "docs.db"), text)

    def run(self, *command):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        eq(done.returncode, 0, (command, done.stderr))
        return done.stdout

    def write(self, lines):
        text = "\n".join(lines)
        for port, own in self.ports.items():
            text = text.replace(port, own)
        text = text.replace("/usr/share/brickd/manual.db", os.path.join(BUILD, "man", "manual.db"))
        for path in "/etc/brickd", "/run/brickd", "/var/lib/brickd":
            text = text.replace(path, self.folder)
        with open(self.config, "w") as f:
            f.write(text)
        if "\nidentities:" in text and not os.path.exists(os.path.join(self.folder, "identities.yaml")):
            self.run(BRICKCTL, "token", "new", "web", "--allow", "echo")


def default():
    with open(os.path.join(SOURCE, "conf", "brickd.yaml")) as f:
        return f.read().splitlines()


@test
def every_block_alone_is_right():
    place, lines = Place(), default()
    found = blocks(lines)
    keys = {lines[number].split("#")[1].split(":")[0].strip(" -") for block in found for number in block[:1]}
    assert {"listen", "identities", "name", "workers", "writes", "drain", "log", "traces", "bricks", "http"} <= keys, keys
    for block in found:
        changed = uncommented(lines, block)
        place.write(changed)
        assert ": ok" in place.run(BRICKD, "--check", place.config), block


def examples():
    """The commands of brickctl(1) for the default file, in their order."""
    with open(os.path.join(SOURCE, "man", "brickctl.1.scd")) as f:
        parts = f.read().partition("\n# EXAMPLES\n")[2].split("```")
    return [line[2:] for part in parts[1:4:2] for line in part.strip().splitlines()]


@test
def the_examples_of_brickctl_work_in_their_order():
    place = Place()
    place.write(default())
    with open(os.path.join(place.folder, "log"), "w") as log:
        process = subprocess.Popen([BRICKD], env=place.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for("Ready", lambda: "Ready" in open(log.name).read() or process.poll() is not None)
        assert len(examples()) == 8, examples()
        os.chdir(place.folder)
        place.env["PATH"] = os.path.dirname(BRICKCTL) + ":" + place.env["PATH"]
        for example in examples():
            place.run("bash", "-c", example.replace("/etc/brickd", place.folder).replace("50051", place.ports["50051"]))
        assert not os.path.exists("identities.yaml") or os.stat("identities.yaml").st_mode & 0o044 == 0o044
    finally:
        process.terminate()
        process.wait(30)


@test
def all_blocks_together_serve():
    place, lines = Place(), default()
    place.write(uncommented(lines, {number for block in blocks(lines) for number in block}))
    with socket.socket() as s, open(os.path.join(place.folder, "log"), "w") as log:
        s.bind(("127.0.0.1", 0))
        s.listen()
        process = subprocess.Popen(
            ["bash", "-c", f"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=brickd exec {BRICKD} 3<&{s.fileno()}"],
            env=place.env, pass_fds=(s.fileno(),), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for("Ready", lambda: "Ready" in open(log.name).read() or process.poll() is not None)
        assert process.poll() is None, open(log.name).read()
        status = place.run(BRICKCTL, "list")
        assert re.search(r"^chat .*ready", status, re.M), status
        eq(status.count(" ready "), len(status.splitlines()) - 1, status)
    finally:
        process.terminate()
        process.wait(30)


main()
