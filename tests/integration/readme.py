# SPDX-License-Identifier: MIT
"""What the README shows, for the tests that run it."""
import os
import re
import subprocess
import sys

from harness import BUILD, SOURCE, Brickd, eq, free_port


def chapter(heading):
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as f:
        _, found, rest = f.read().partition(f"\n## {heading}\n")
    assert found, f"the README has no chapter {heading!r}"
    return rest.partition("\n## ")[0]


def blocks(heading):
    """(language, text) of each fenced block of a chapter."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", chapter(heading), re.MULTILINE | re.DOTALL)


def session(text):
    """(command, what it prints) of each command of a block."""
    return [tuple(part.partition("\n")[::2]) for part in text.split("$ ")[1:]]


class Application(Brickd):
    """The chapter "An application in YAML", with a program in place of the model, on ports and in a folder of its own."""

    def __init__(self):
        self.model = subprocess.Popen([sys.executable, os.path.join(SOURCE, "tests", "demo_llm.py")], stdout=subprocess.PIPE,
                                      text=True)
        self.door = f"127.0.0.1:{free_port()}"
        (language, text), _ = blocks("An application in YAML")
        eq(language, "yaml")
        modules = os.path.join(BUILD, "src", "bricks")
        super().__init__(text, modules=modules, env={"BRICKD_DATA": modules, "BRICKD_LIBEXEC": os.path.join(modules, "retrieval-fts")})

    def write(self, text):
        self.index = os.path.join(self.dir, "docs.db")
        text = self.here(text, "127.0.0.1:50051", self.address)
        text = self.here(text, "127.0.0.1:8080", self.door)
        text = self.here(text, "/var/lib/brickd/docs.db", self.index)
        text = self.here(text, "127.0.0.1:11434", "127.0.0.1:" + self.model.stdout.readline().strip())
        with open(self.config, "w") as f:
            f.write(f"{text}modules: {self.modules}\ncontrol: {self.dir}/control\n")

    @staticmethod
    def here(text, place, ours):
        eq(text.count(place), 1, place)
        return text.replace(place, ours)

    def start(self, ready=True):
        try:
            return super().start(ready)
        except AssertionError:
            self.model.kill()
            raise

    def __exit__(self, *what):
        super().__exit__(*what)
        self.model.kill()
        self.model.wait()
