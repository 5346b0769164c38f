# SPDX-License-Identifier: MIT
"""What others' programs take /openapi.json for: a validator of OpenAPI 3.1 from PyPI. test_openapi.py BUILD_DIR

That it tells the truth about the routes, and that its examples work, is what test_http_routes.py tests."""
import os
import subprocess
import sys

import registry

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "http", "openapi.json")
# Every example, too, is held against the schema beside it.
PROGRAM = """
import json, sys
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
document = json.load(open(sys.argv[1]))
found = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in OpenAPIV31SpecValidator(document).iter_errors()]
for path, item in document["paths"].items():
    for method, operation in item.items():
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = {**content["schema"], "components": document["components"]}
            for name, example in content.get("examples", {}).items():
                found += [f"{path}: {name}: {e.message}" for e in Draft202012Validator(schema).iter_errors(example["value"])]
document["paths"]["/health"]["get"]["responses"]["default"] = {"description": 5}
assert list(OpenAPIV31SpecValidator(document).iter_errors()), "the validator finds a mistake"
print("\\n".join(found))
sys.exit(1 if found else 0)
"""


def main():
    python = registry.pip(["openapi-spec-validator==0.9.0"], os.path.join(sys.argv[1], "tests", "real", "openapi-venv"))
    done = subprocess.run([python, "-c", PROGRAM, DOCUMENT], text=True, timeout=120, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    print("# " + done.stdout.strip().replace("\n", "\n# "))
    print("1..1")
    print(f"{'not ok' if done.returncode else 'ok'} 1 - the description is OpenAPI 3.1")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
