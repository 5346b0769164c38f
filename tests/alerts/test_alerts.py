# SPDX-License-Identifier: MIT
"""promtool checks the alert rules and runs their tests; the rules use only metrics that brickd(8) lists, and all are tested."""
import pathlib
import re
import subprocess
import sys
import tempfile

source = pathlib.Path(sys.argv[1])
rules = source / "conf/prometheus/brickd.rules.yaml"
tests = (source / "tests/alerts/alerts.yaml").read_text(encoding="utf-8")
manual = (source / "man/brickd.8.scd").read_text(encoding="utf-8")
text = rules.read_text(encoding="utf-8")

subprocess.run(["promtool", "check", "rules", rules], check=True)
with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
    file.write(tests.replace("[RULES]", f"[{rules.resolve()}]"))
    file.flush()
    subprocess.run(["promtool", "test", "rules", file.name], check=True)

listed = dict(re.findall(r"^\*(brickd_\w+)\* \((\w+)", manual, re.MULTILINE))
code = re.sub(r"(?m)^ *(#|summary:|description:).*", "", text)
used = {name for name in re.findall(r"\bbrickd_\w+", code)}
for name in used:
    plain = name.removesuffix("_bucket")
    assert listed.get(plain) == "histogram" if plain != name else name in listed, f"brickd(8) does not list {name}"
for alert in re.findall(r"- alert: (\w+)", text):
    assert tests.count(f"alertname: {alert} }}") == 1 and tests.count(f"alertname: {alert}\n") == 1, f"{alert} is not tested"
