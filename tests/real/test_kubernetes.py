# SPDX-License-Identifier: MIT
"""conf/kubernetes with Kustomize and the schemas of Kubernetes, KEDA and the Prometheus Operator."""
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import jsonschema  # noqa: E402
import yaml  # noqa: E402

import registry  # noqa: E402
from harness import BUILD, SOURCE, Brickd, call, eq, main, temp_dir, test  # noqa: E402
from ports import free_port  # noqa: E402

FOLDER = os.path.join(BUILD, "tests", "real", "kubernetes")
VERSION = "1.30"
OVERLAY = """\
resources: [base]
components: [base/keda, base/prometheus-operator]
namespace: bricks
images: [{ name: brickd, newName: registry.example.org/brickd, newTag: "1.0.0" }]
"""
# Modules of Go that have the schema of a kind.
CRDS = {
    "ScaledObject": ("github.com/kedacore/keda/v2@v2.12.0", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    "ServiceMonitor": ("github.com/prometheus-operator/prometheus-operator@v0.70.0",
                       "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
}
VALIDATE = "import json, sys, kubernetes_validate as k\nfor d in json.load(sys.stdin): k.validate(d, sys.argv[1], strict=True)"


def kustomize(overlay):
    """The resources that the overlay makes of conf/kubernetes."""
    program = os.path.join(registry.go(os.path.join(HERE, "programs", "kustomize"), FOLDER), "kustomize")
    folder = temp_dir()
    shutil.copytree(os.path.join(SOURCE, "conf", "kubernetes"), os.path.join(folder, "base"))
    with open(os.path.join(folder, "kustomization.yaml"), "w") as f:
        f.write(overlay)
    return list(yaml.safe_load_all(subprocess.check_output([program, folder], text=True)))


def strict(schema):
    """The schema, which then refuses fields that it does not name."""
    if "properties" in schema:
        for inner in schema["properties"].values():
            strict(inner)
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for key in "items", "additionalProperties":
        if isinstance(schema.get(key), dict):
            strict(schema[key])
    return schema


def schema_of(kind, version):
    module, file = CRDS[kind]
    with open(os.path.join(registry.go_module(module, FOLDER), file)) as f:
        versions = yaml.safe_load(f)["spec"]["versions"]
    schema, = (v["schema"]["openAPIV3Schema"] for v in versions if v["name"] == version)
    schema["properties"]["metadata"] = {"type": "object"}
    return strict(schema)


resources = kustomize(OVERLAY)
python = registry.pip(["kubernetes-validate==1.37.0"], os.path.join(FOLDER, "venv"))


def one(kind):
    found, = (r for r in resources if r["kind"] == kind)
    return found


pod = one("Deployment")["spec"]["template"]
container, = pod["spec"]["containers"]


@test
def the_schemas_of_kubernetes():
    core = [r for r in resources if r["kind"] not in CRDS]
    eq(len(core), 7)
    subprocess.run([python, "-c", VALIDATE, VERSION], input=json.dumps(core), text=True, check=True)
    core[0]["unknown"] = True
    assert subprocess.run([python, "-c", VALIDATE, VERSION], input=json.dumps(core), text=True,
                          stderr=subprocess.DEVNULL).returncode


@test
def the_schemas_of_keda_and_the_prometheus_operator():
    for kind in CRDS:
        resource = one(kind)
        schema = schema_of(kind, resource["apiVersion"].partition("/")[2])
        jsonschema.validate(resource, schema)
        resource["spec"]["unknown"] = 1
        try:
            jsonschema.validate(resource, schema)
            raise AssertionError(f"{kind}: an unknown field is taken")
        except jsonschema.ValidationError:
            del resource["spec"]["unknown"]
    assert "replicas" not in one("Deployment")["spec"], "KEDA decides how many there are"
    eq(one("ScaledObject")["spec"]["scaleTargetRef"]["name"], one("Deployment")["metadata"]["name"])


@test
def the_pod_security_standard_restricted():
    spec, context = pod["spec"], container["securityContext"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert {kind for v in spec["volumes"] for kind in v if kind != "name"} <= {"configMap", "emptyDir", "projected", "secret"}
    assert not any("hostPort" in p for p in container["ports"])
    eq((context["allowPrivilegeEscalation"], context["capabilities"]), (False, {"drop": ["ALL"]}))
    eq(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert context["readOnlyRootFilesystem"] and not spec["automountServiceAccountToken"]


@test
def what_selects_finds_the_pods():
    labels = pod["metadata"]["labels"].items()
    selectors = [one("Deployment")["spec"]["selector"]["matchLabels"], one("Service")["spec"]["selector"],
                 one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                 one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
                 pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]]
    assert all(s and s.items() <= labels for s in selectors), selectors
    assert one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= one("Service")["metadata"]["labels"].items()
    allowed = [rule["from"][0] for rule in one("NetworkPolicy")["spec"]["ingress"]]
    eq(allowed[0], {"podSelector": {"matchLabels": {"brickd-client": "true"}}})


@test
def other_files_have_other_names():
    def names(overlay):
        return {r["kind"]: r["metadata"]["name"] for r in kustomize(overlay)}
    overlay = "resources: [base]\n"
    change = overlay + "secretGenerator: [{ name: brickd, behavior: merge, literals: [more=1] }]\n"
    before, after = names(overlay), names(change)
    assert before["Secret"] != after["Secret"] and before["ConfigMap"] == after["ConfigMap"]
    sources = pod["spec"]["volumes"][0]["projected"]["sources"]
    eq([s["configMap"]["name"] if "configMap" in s else s["secret"]["name"] for s in sources],
       [one("ConfigMap")["metadata"]["name"], one("Secret")["metadata"]["name"]])


class Pod(Brickd):
    """brickd with the files of the volume `config`, as a kubelet lays them out."""

    def write(self, text):
        volume = os.path.join(self.dir, "config")
        os.makedirs(os.path.join(volume, "..2026_11_30"))
        for name, content in {"brickd.yaml": text, "identities.yaml": "identities: []\n"}.items():
            with open(os.path.join(volume, "..2026_11_30", name), "w") as f:
                f.write(content)
            os.symlink(os.path.join("..data", name), os.path.join(volume, name))
        os.symlink("..2026_11_30", os.path.join(volume, "..data"))
        self.config = os.path.join(volume, "brickd.yaml")


@test
def the_probes_find_what_they_ask_for():
    text = one("ConfigMap")["data"]["brickd.yaml"]
    grpc = free_port()
    ports = {"grpc": grpc, "http": free_port(), "metrics": free_port()}
    for port in container["ports"]:
        assert f'"[::]:{port["containerPort"]}"' in text, port
        text = text.replace(f'"[::]:{port["containerPort"]}"', f'"127.0.0.1:{ports[port["name"]]}"')
    eq(container["readinessProbe"]["grpc"]["port"], 50051)
    text += f"control: null\nmodules: {os.path.join(BUILD, 'src', 'bricks')}\n"
    with Pod(text, port=grpc, env={"BRICKD_DATA": os.path.join(BUILD, "src", "bricks")}) as running:
        eq(call(running.channel(), "/grpc.health.v1.Health/Check")[:2], (b"\x08\x01", "OK"))
        for probe in "livenessProbe", "startupProbe":
            get = container[probe]["httpGet"]
            subprocess.run(["curl", "-sf", f"http://127.0.0.1:{ports[get['port']]}{get['path']}"], check=True,
                           stdout=subprocess.DEVNULL)
    drain = sum(float(n) for n in re.findall(r"(?:lame_duck|grace): (\d+)s", text))
    assert pod["spec"]["terminationGracePeriodSeconds"] > drain + 5 > 5, drain


main()
