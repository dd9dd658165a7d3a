"""Checks the Helm chart: it renders the same objects as kustomize, and its values are described and refused if wrong."""

import copy
import functools
import json
import pathlib
import re
import sys
import tempfile

import jsonschema
import yaml

import external_tools
import program
import schemas
import values as values_checks
from manifests import ROOT, Manifests, label, version

sys.path.insert(0, str(ROOT / "deploy/helm"))
import readme  # noqa: E402

CHART = ROOT / "deploy/helm/contacts"
# The values that enable the optional parts, as external_tools.with_options does for kustomize.
OPTIONS = {
    "console": {"enabled": True},
    "scheduledDrain": {"enabled": True},
    "logVolume": {"enabled": True},
    "prometheusOperator": {"enabled": True},
    "dashboards": {"sidecar": True},
}
# The kinds with data.
KEPT = ("PersistentVolumeClaim", "RabbitmqCluster")
OUTSIDE = {"producer": {"service": {"type": "LoadBalancer"}}, "grafana": {"service": {"type": "LoadBalancer"}}}


def sample_values():
    """The settings that external_tools.SAMPLE_SETTINGS gives to kustomize."""
    sample = external_tools.SAMPLE_SETTINGS
    return {
        "image": {"repository": f"{sample['REGISTRY']}/contacts", "tag": sample["TAG"]},
        "keyVault": {
            "name": sample["KEY_VAULT"],
            "tenantId": sample["TENANT_ID"],
            "clientId": sample["IDENTITY_CLIENT_ID"],
        },
        "postgresExporter": {
            "uri": f"{sample['DATABASE_HOST']}:5432/contacts?sslmode=verify-full",
            "user": sample["DATABASE_USER"],
        },
        "producer": {
            "service": {
                "annotations": {"service.beta.kubernetes.io/azure-load-balancer-ipv4": sample["PRODUCER_ADDRESS"]}
            }
        },
        "grafana": {"service": {"sourceRanges": [sample["GRAFANA_VISITORS"]]}},
    }


def helm(*arguments, values=()):
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, value in enumerate(values):
            path = pathlib.Path(folder, f"{number}.yaml")
            path.write_text(yaml.safe_dump(value))
            files += ["--values", str(path)]
        return external_tools.run("helm", *arguments, *files)


@functools.cache
def rendered(name):
    """The objects of the chart, for a rendering of kustomize."""
    overlay, _, options = name.partition("+")
    values = [OPTIONS] if options else []
    if options:
        values.append(sample_values() if overlay == "aks" else OUTSIDE)
    file = ROOT / f"deploy/helm/{overlay}.yaml"
    command = ("template", "contacts", str(CHART), "--namespace", "contacts", "--skip-tests", "--values", str(file))
    result = helm(*command, values=values)
    if result.returncode:
        raise external_tools.Failure(f"helm template: {result.stderr.strip()}")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [obj for obj in yaml.load_all(result.stdout, loader) if obj]


# ---- what may differ: each function removes one difference, and returns whether there was one -----------------------


def walk(value):
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


def no_namespace(objects):
    """helm keeps the release in the namespace, so it must exist before; NOTES.txt says which labels it needs."""
    found = [obj for obj in objects if obj["kind"] == "Namespace"]
    objects[:] = [obj for obj in objects if obj["kind"] != "Namespace"]
    return bool(found)


def no_name_hashes(objects):
    """kustomize ends the names of ConfigMaps and Secrets with a hash; helm replaces them in place."""
    names = {
        name: re.sub(r"-[a-z0-9]{10}$", "", name)
        for obj in objects
        if obj["kind"] in ("ConfigMap", "Secret")
        for name in [obj["metadata"]["name"]]
    }
    for value in walk(objects):
        if isinstance(value, dict):
            for key, text in value.items():
                if key in ("name", "secretName") and names.get(text) is not None:
                    value[key] = names[text]
    return any(name != short for name, short in names.items())


def without_annotation(objects, name):
    found = [value for value in walk(objects) if isinstance(value, dict) and name in (value.get("annotations") or {})]
    for value in found:
        del value["annotations"][name]
        if not value["annotations"]:
            del value["annotations"]
    return bool(found)


def no_checksums(objects):
    """Without the hash in the name, this annotation replaces the pods when their settings change."""
    return without_annotation(objects, "checksum/settings")


def no_keep(objects):
    """helm deletes what is no longer in a release; kustomize does not, so the data stay."""
    return without_annotation([obj for obj in objects if obj["kind"] in KEPT], "helm.sh/resource-policy")


def no_helm_labels(objects):
    """The usual labels of a chart."""
    labels = [obj["metadata"]["labels"] for obj in objects]
    return any([own.pop(name, None) for own in labels for name in ("app.kubernetes.io/managed-by", "helm.sh/chart")])


def no_revision(objects):
    """A Job cannot be changed, so each release of helm has its own; `make deploy` deletes the old one."""
    found = [obj for obj in objects if obj["kind"] == "Job" and re.search(r"-\d+$", obj["metadata"]["name"])]
    for obj in found:
        obj["metadata"]["name"] = re.sub(r"-\d+$", "", obj["metadata"]["name"])
    return bool(found)


def no_line_breaks(objects):
    """kustomize breaks the lines of long secrets."""
    secrets = [obj["data"] for obj in objects if obj["kind"] == "Secret"]
    broken = [(data, key) for data in secrets for key, text in data.items() if re.search(r"\s", text)]
    for data, key in broken:
        data[key] = re.sub(r"\s", "", data[key])
    return bool(broken)


def no_order(objects):
    """The patches of kustomize add to the end of these lists, and their order means nothing."""
    changed = False
    for value in walk(objects):
        for field in ("env", "volumes", "volumeMounts"):
            if isinstance(value, dict) and isinstance(value.get(field), list):
                ordered = sorted(value[field], key=lambda entry: json.dumps(entry, sort_keys=True))
                changed |= ordered != value[field]
                value[field] = ordered
    return changed


DIFFERENCES = (no_namespace, no_name_hashes, no_checksums, no_keep, no_helm_labels, no_revision, no_line_breaks, no_order)


def normal(objects):
    """The objects by kind and name without the allowed differences, and which of these there were."""
    objects = copy.deepcopy(objects)
    used = {difference for difference in DIFFERENCES if difference(objects)}
    return {label(obj): obj for obj in objects}, used


def first_difference(left, right, path=""):
    """Where two values differ, and both values."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            if left.get(key) != right.get(key):
                return first_difference(left.get(key), right.get(key), f"{path}.{key}")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right)):
            if pair[0] != pair[1]:
                return first_difference(*pair, f"{path}[{index}]")
    return path.lstrip("."), left, right


def same(manifests: Manifests):
    """Checks that the chart renders the same objects as kustomize, except DIFFERENCES, each of which must exist."""
    if not manifests.complete:
        return
    (expected, first), (found, second) = normal(manifests.objects), normal(rendered(manifests.name))
    for name in sorted(set(expected) - set(found)):
        yield f"the chart does not render {name}: add it to deploy/helm/templates.py"
    for name in sorted(set(found) - set(expected)):
        yield f"only the chart renders {name}"
    for name in sorted(set(expected) & set(found)):
        if expected[name] != found[name]:
            path, left, right = first_difference(expected[name], found[name])
            yield f"{name}: {path} is {json.dumps(left)[:200]} in kustomize, but {json.dumps(right)[:200]} in the chart"
    for difference in set(DIFFERENCES) - first - second if manifests.name.startswith("local") else ():
        yield f"chart.py: {difference.__name__} removes no difference: remove it"


# ---- the values -----------------------------------------------------------------------------------------------------


def leaves(schema, root, path=()):
    """The paths of a schema that have no further names."""
    target = schema
    while "$ref" in target:
        target = root["$defs"][target["$ref"].split("/")[-1]]
    # `global` is a value of Helm. Requests and limits, and the names of Secrets, are one value.
    if target.get("properties") and path[-1:] not in (("resources",), ("secrets",)):
        for name, inner in target["properties"].items():
            yield from leaves(inner, root, (*path, name)) if (*path, name) != ("global",) else ()
    else:
        yield path


@functools.cache
def defaults_of(text):
    return yaml.safe_load(text)


def default_values():
    return copy.deepcopy(defaults_of((CHART / "values.yaml").read_text()))


def at(values, path):
    for step in path:
        values = values[step]
    return values


def with_value(path, value):
    """The default values with another one."""
    values = default_values()
    at(values, path[:-1])[path[-1]] = value
    return values


def schema():
    """Checks that the schema has exactly the values of values.yaml, and refuses unknown names and wrong types."""
    root = json.loads((CHART / "values.schema.json").read_text())
    validator, defaults = jsonschema.Draft7Validator(root), default_values()
    for error in validator.iter_errors(defaults):
        yield f"values.yaml: {error.json_path}: {error.message}"
    described = {tuple(path.split(".")) for path, _, _ in readme.values()}
    known = set(leaves(root, root))
    for path in sorted(described ^ known):
        place = "values.yaml" if path in known else "values.schema.json"
        yield f"{'.'.join(path)} is not in {place}"
    for path in sorted(described & known):
        value = at(defaults, path)
        wrong = "a text" if isinstance(value, (bool, int, dict, list)) else ["a", "list"]
        if validator.is_valid(with_value(path, wrong)):
            yield f"values.schema.json accepts {wrong!r} for {'.'.join(path)}"
    parents = {path[:length] for path in described for length in range(len(path))}
    for path in sorted(parents | {("producer", "resources"), ("producer", "resources", "limits"), ("settings",)}):
        if validator.is_valid(with_value((*path, "unknown"), "1")):
            yield f"values.schema.json accepts an unknown value in {'.'.join(path) or 'the root'}"


def refused():
    """Checks that helm itself refuses what the schema and templates/checks.yaml refuse."""
    cases = (
        ({"producer": {"minReplica": 2}}, "minReplica"),
        ({"producer": {"minReplicas": "two"}}, "minReplicas"),
        ({"settings": {"LOG_LEVEL": "debug"}}, "LOG_LEVEL"),
        ({"keda": {"enabled": True}}, "keda.enabled needs"),
        ({"prometheus": {"enabled": False}}, "grafana.enabled needs"),
        ({"keyVault": {"name": "vault"}, "secrets": {"grafana": {"admin-password": "x"}}}, "exclude each other"),
    )
    for values, message in cases:
        result = helm("template", "contacts", str(CHART), values=[values])
        if result.returncode == 0 or message not in result.stderr:
            yield f"helm must refuse {values} because of {message!r}, but says: {result.stderr.strip()[-300:]!r}"


def lint():
    """Checks that helm has nothing to say about the chart, and that its version is that of the program."""
    for name in (None, "local.yaml", "aks.yaml"):
        file = ["--values", str(ROOT / "deploy/helm" / name)] if name else []
        result = external_tools.run("helm", "lint", "--strict", "--namespace", "contacts", str(CHART), *file)
        if result.returncode:
            lines = [line for line in result.stdout.splitlines() if line.startswith("[")]
            yield f"helm lint --strict {name or ''}: {' '.join(lines)} {result.stderr.strip()[-300:]}"
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    for field in ("version", "appVersion"):
        if chart[field] != version():
            yield f"Chart.yaml: {field} is {chart[field]}, but Cargo.toml has version {version()}"


def alone():
    """The chart with the default values and with its tests: valid objects, and pods with few rights."""
    values = [
        {
            "tests": {"apiKeySecret": "key"},
            "settings": {"CONTACTS__LOG__LEVEL": "debug"},
            "rabbitmq": {"kind": "cluster"},
        }
    ]
    result = helm("template", "contacts", str(CHART), "--namespace", "contacts", values=values)
    if result.returncode:
        yield f"helm template: {result.stderr.strip()}"
        return
    manifests = Manifests("chart", [obj for obj in yaml.safe_load_all(result.stdout) if obj], complete=False)
    tests = {pod.owner for pod in manifests.pods if pod.owner.startswith("Pod/")}
    if tests != {"Pod/contacts-test-services", "Pod/contacts-test-api"}:
        yield f"`helm test` would run {sorted(tests)}"
    for check in (schemas.check, values_checks.pod_security, values_checks.quantities):
        yield from check(manifests)
    kept = manifests.of(*KEPT)
    for obj in kept:
        if (obj["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") != "keep":
            yield f"{label(obj)}: helm uninstall would delete its data"
    if {obj["kind"] for obj in kept} != set(KEPT):
        yield f"the chart has no {KEPT}"
    api = manifests.find("Pod", "contacts-test-api")
    manifests.objects.remove(api)
    yield from program.command_lines(manifests)
    with tempfile.NamedTemporaryFile("w", suffix="-key") as key:
        print("a-key", file=key, flush=True)
        places = {"http://contacts-producer": "http://127.0.0.1:1", "/key/api-key": key.name}
        arguments = [places.get(word, word) for word in api["spec"]["containers"][0]["args"]]
        result = program.run(arguments, {})
        if result.returncode != 1 or "127.0.0.1:1" not in result.stderr or not set(places) < set(
            api["spec"]["containers"][0]["args"]
        ):
            yield f"Pod/contacts-test-api: {arguments} should fail only without a service: {result.stderr.strip()}"
    settings = manifests.find("ConfigMap", "contacts")["data"]
    if settings.get("CONTACTS__LOG__LEVEL") != "debug" or "CONTACTS__ADMIN__LISTEN" not in settings:
        yield f"the value `settings` must be added to settings.env: {settings}"


def check():
    for part in (schema, refused, lint, alone):
        yield from part()
