#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_training.py BRICKCTL_TRAIN FOLDER: that the shipped model is what the training texts make, and that brickctl train
says what is wrong."""
import os
import subprocess
import sys
import tempfile

TRAIN, FOLDER = sys.argv[1:]
LIMIT = 100


def train(*arguments):
    return subprocess.run([TRAIN, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False)


def main():
    with tempfile.TemporaryDirectory() as temp:
        texts, model = os.path.join(temp, "texts.tsv"), os.path.join(temp, "model")
        with open(texts, "wb") as f:
            generate = [sys.executable, f"{FOLDER}/training/generate.py", f"{FOLDER}/training"]
            subprocess.run(generate, stdout=f, timeout=LIMIT, check=True)
        done = train("--output", model, "--test", f"{FOLDER}/tests/held-out.tsv", texts)
        assert done.returncode == 0 and "harmless/hard" in done.stdout, done
        print(done.stdout)
        with open(model, "rb") as made, open(f"{FOLDER}/rules/default.model", "rb") as shipped:
            assert made.read() == shipped.read(), "the shipped model is not what its texts make: train it again"
        done = train("--test", texts, "--model", model)
        assert done.returncode == 0, done
        for arguments, status, message in [
            ([], 64, "name texts and --output"),
            (["--output", model, texts, texts], 64, "name one file of texts"),
            (["--output", model, "--bits", "7", texts], 64, "--bits takes 8 to 20"),
            (["--output", model, "--rounds", "x", texts], 64, "--rounds takes 1 to 1000"),
            (["--model", model, texts], 64, "name texts and --output"),
            (["--output", model, f"{temp}/none"], 1, "No such file or directory"),
            (["--output", f"{temp}/no/model", texts, "--rounds", "1"], 1, "No such file or directory"),
            (["--output", model, "--harmless", "good", texts], 1, "no text has the label of harmless ones"),
            (["--test", texts, "--model", texts], 1, "not a model that brickctl train has written"),
        ]:
            done = train(*arguments)
            assert done.returncode == status and message in done.stderr, (arguments, done)
        assert "brickctl train" in train("--help").stdout


main()
