#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test-conf-schema.py SCHEMA FILE...: the JSON Schema is one, takes the files, and refuses what is wrong."""

import json
import sys

import jsonschema
import yaml

PORT = {"listen": "127.0.0.1:0"}
BRICK = {"name": "a", "module": "m"}

GOOD = [
    {"ports": [PORT]},
    {"ports": [PORT], "bricks": None, "log": None},
    {"ports": [PORT | {"bricks": "a", "limits": {"request": 4096, "window": "1.5KiB"}}]},
    {"ports": [PORT | {"bricks": ["a", "${B}"], "limits": {"streams": "${N:-5}"}}]},
    {"ports": [PORT], "bricks": [BRICK | {"options": {"any": ["thing"]}, "match": {"model_id": 5}}]},
    {"ports": [PORT], "workers": "auto", "control": None, "start_timeout": "1.5s"},
    {"ports": [PORT], "log": {"access": False}, "drain": {"grace": 0}},
]

BAD = [
    None,
    [],
    {},
    {"ports": None},
    {"ports": []},
    {"ports": [{}]},
    {"ports": [PORT | {"listne": 1}]},
    {"ports": [PORT], "wrokers": 1},
    {"ports": [PORT], "workers": 0},
    {"ports": [PORT], "workers": "many"},
    {"ports": [PORT], "workers": 1.5},
    {"ports": [PORT], "start_timeout": 30},
    {"ports": [PORT], "start_timeout": "30"},
    {"ports": [PORT], "log": {"level": "loud"}},
    {"ports": [PORT], "modules": "relative"},
    {"ports": [PORT], "modules": None},
    {"ports": [PORT | {"limits": {"request": "4M"}}]},
    {"ports": [PORT | {"allow_insecure": "yes"}]},
    {"ports": [PORT], "bricks": [{"name": "a"}]},
    {"ports": [PORT], "bricks": [BRICK | {"name": "A"}]},
    {"ports": [PORT], "bricks": [BRICK | {"name": "a" * 65}]},
    {"ports": [PORT], "bricks": [BRICK | {"module": "../m.so"}]},
    {"ports": [PORT], "bricks": [BRICK | {"match": {"model": "x"}}]},
]


def main(schema_name, *names):
    with open(schema_name, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    status = 0
    for name in names:
        with open(name, encoding="utf-8") as file:
            for error in validator.iter_errors(yaml.safe_load(file)):
                print(f"{name}: {error.json_path}: {error.message}")
                status = 1
    for value in GOOD:
        for error in validator.iter_errors(value):
            print(f"refused: {value}: {error.message}")
            status = 1
    for value in BAD:
        if validator.is_valid(value):
            print(f"taken: {value}")
            status = 1
    return status


sys.exit(main(*sys.argv[1:]))
