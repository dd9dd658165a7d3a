"""Checks with other programs: kustomize, kubectl, checkov and hadolint."""

import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

from manifests import ROOT, get, load
from schemas import VALIDATORS

SKIPS = pathlib.Path(__file__).resolve().parents[1] / "skips.txt"
# Sample values for the placeholders in overlays/aks/settings.
SAMPLE_SETTINGS = {
    "REGISTRY": "example.azurecr.io",
    "TAG": "1.2.3",
    "KEY_VAULT": "example-vault",
    "TENANT_ID": "11111111-1111-4111-8111-111111111111",
    "IDENTITY_CLIENT_ID": "22222222-2222-4222-8222-222222222222",
    "DATABASE_HOST": "example.postgres.database.azure.com",
    "DATABASE_USER": "example",
    "PRODUCER_ADDRESS": "10.1.2.3",
    "GRAFANA_VISITORS": "198.51.100.7/32",
}
# The optional parts: lines in kustomization.yaml files, and their replacements.
COMPONENTS = "../../base/components"
OPTIONAL_COMPONENTS = ("console", "grafana-sidecar", "log-volume", "prometheus-operator")
OPTIONS = {
    "../../base\n": "../../base\n  - ../../base/scheduled-drain\n",
    f"{COMPONENTS}/postgres-exporter\n": f"{COMPONENTS}/postgres-exporter\n"
    + "".join(f"  - {COMPONENTS}/{name}\n" for name in OPTIONAL_COMPONENTS),
}
# An object of each optional part.
OPTIONAL_OBJECTS = (
    ("scheduled drain", "CronJob", "contacts-dlq-drain-scheduled"),
    ("log volume", "PersistentVolumeClaim", "contacts-logs"),
    ("console", "Deployment", "contacts-console"),
    ("Prometheus operator", "PodMonitor", "contacts"),
)


class Failure(Exception):
    """The manifests cannot be rendered."""


def run(*command, **options):
    home = tempfile.gettempdir()
    # Without the user's kubeconfig, so that no command reaches a real cluster.
    environment = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": os.devnull, "LANG": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **options)


def kustomize(folder, target):
    result = run("kustomize", "build", str(folder))
    if result.returncode:
        raise Failure(f"kustomize build {folder}: {result.stderr.strip()}")
    target.write_text(result.stdout)
    again = run("kubectl", "kustomize", str(folder))
    if again.stdout != result.stdout:
        raise Failure(f"kubectl kustomize {folder} differs from kustomize build: {again.stderr.strip()}")


def with_options(target):
    """Copies the manifests, enables the optional parts, and replaces the placeholders with sample values."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "deploy", target / "deploy", ignore=shutil.ignore_patterns("azure", "check"))
    shutil.copytree(ROOT / "dashboards", target / "dashboards")
    for path in (target / "deploy/overlays").glob("**/kustomization.yaml"):
        text = path.read_text()
        for line, lines in OPTIONS.items():
            deeper = "../" * (len(path.relative_to(target / "deploy/overlays").parts) - 2)
            text = text.replace("- " + deeper + line, "- " + lines.replace("../../", deeper + "../../"))
        if path.parent.name == "local":
            text = text.replace("components:\n", "components:\n  - outside\n")
        path.write_text(text)
    settings = target / "deploy/overlays/aks/settings/settings.env"
    names = re.findall(r"^(\w+)=", settings.read_text(), re.MULTILINE)
    if set(names) != set(SAMPLE_SETTINGS):
        raise Failure(
            f"deploy/check/lib/external_tools.py has samples for {sorted(SAMPLE_SETTINGS)}, "
            f"but {settings.name} has {sorted(names)}"
        )
    settings.write_text("".join(f"{name}={value}\n" for name, value in SAMPLE_SETTINGS.items()))


def render(target):
    """Renders the base, both overlays, and both overlays with all optional parts."""
    target.mkdir(parents=True, exist_ok=True)
    with_options(target / "tree")
    renderings = []
    for name, folder in (
        ("base", ROOT / "deploy/base"),
        ("local", ROOT / "deploy/overlays/local"),
        ("aks", ROOT / "deploy/overlays/aks"),
        ("local+options", target / "tree/deploy/overlays/local"),
        ("aks+options", target / "tree/deploy/overlays/aks"),
    ):
        kustomize(folder, target / f"{name}.yaml")
        renderings.append(load(target / f"{name}.yaml", name, complete=name != "base"))
    return renderings


def placeholders(manifests):
    """Checks that settings.env replaces every placeholder, and that every setting is used."""
    if manifests.name != "aks+options":
        return
    text = yaml.safe_dump_all(manifests.objects)
    for placeholder in ("fill-in", "00000000-0000", "192.0.2.", "203.0.113.", "the-overlay-says"):
        for line in text.splitlines():
            if placeholder in line:
                yield f"{line.strip()}: settings.env does not replace this placeholder: see deploy/overlays/aks/fill-in"
    for name, value in SAMPLE_SETTINGS.items():
        if value not in text:
            yield f"settings.env: deploy/overlays/aks/fill-in does not use {name}"


def options(manifests):
    """Checks that the optional parts exist only if an overlay adds them."""
    if not manifests.complete:
        return
    for part, kind, name in OPTIONAL_OBJECTS:
        if bool(manifests.find(kind, name)) != manifests.name.endswith("+options"):
            yield f"the optional part {part}: {kind}/{name} must exist only if an overlay adds the part"
    outside = get(manifests.find("Service", "contacts-producer"), "spec", "type") == "LoadBalancer"
    if outside != (manifests.name != "local"):
        yield "Service/contacts-producer: only with the optional part `outside` it may have an address outside"
    by_hand = manifests.find("CronJob", "contacts-dlq-drain")
    if get(by_hand, "spec", "suspend") is not True:
        yield "CronJob/contacts-dlq-drain: must be suspended"


def kubectl(manifests):
    """Lets kubectl decode every object. kubectl finds wrong quantities and types that a schema does not find."""
    known = [obj for obj in manifests.objects if (obj.get("apiVersion"), obj.get("kind")) not in VALIDATORS]
    with tempfile.TemporaryDirectory() as folder:
        everything, builtin = pathlib.Path(folder, "everything.yaml"), pathlib.Path(folder, "builtin.yaml")
        everything.write_text(yaml.safe_dump_all(manifests.objects))
        builtin.write_text(yaml.safe_dump_all(known))
        # kubectl also reports objects without a pod, which are correct. Only decoding errors are problems.
        result = run("kubectl", "set", "env", "--local", "-f", str(builtin), "CHECK-", "-o", "name")
        for line in dict.fromkeys(result.stderr.splitlines()):
            if "unable to decode" in line:
                yield f"kubectl: {line.partition('unable to decode')[2].strip()}"
        result = run("kubectl", "label", "--local", "-f", str(everything), "check=yes", "-o", "name")
        if result.returncode or len(result.stdout.split()) != len(manifests.objects):
            read = len(result.stdout.split())
            yield f"kubectl decodes {read} of {len(manifests.objects)} objects: {result.stderr.strip()[:300]}"


def skips():
    rules = []
    for line in SKIPS.read_text().splitlines():
        if line and not line.startswith("#"):
            check, resource, reason = line.split(None, 2)
            rules.append((check, resource, reason))
    return rules


def checkov(renderings):
    """Runs checkov. Every finding must be in skips.txt, and every line of skips.txt must match a finding."""
    rules, used = skips(), set()
    with tempfile.TemporaryDirectory() as folder:
        for manifests in renderings:
            path = pathlib.Path(folder, f"{manifests.name.split('+')[0]}.yaml")
            path.write_text(yaml.safe_dump_all(manifests.objects))
        # The exit code only means that there are findings.
        result = run(
            "checkov",
            "--directory",
            folder,
            "--framework",
            "kubernetes",
            "--skip-download",
            "--compact",
            "--quiet",
            "--output",
            "json",
        )
    try:
        report = json.loads(result.stdout)
        failed, passed = report["results"]["failed_checks"], report["summary"]["passed"]
    except (ValueError, KeyError, TypeError):
        yield f"the output of checkov cannot be parsed: {(result.stdout + result.stderr)[-500:]}"
        return
    if passed < 100 * len(renderings):
        yield f"checkov ran too few checks: only {passed} passed"
    for finding in failed:
        kind, _, name = finding["resource"].partition(".")
        resource = f"{kind}/{name.split('.')[-1]}"
        rule = next(
            (rule for rule in rules if rule[0] == finding["check_id"] and fnmatch.fnmatch(resource, rule[1])), None
        )
        used.add(rule)
        if rule is None:
            yield (
                f"{finding['file_path']} {resource}: {finding['check_id']} {finding['check_name']}: fix it, or add "
                "it with a reason to deploy/check/skips.txt"
            )
    for rule in rules:
        if rule not in used:
            yield f"deploy/check/skips.txt: {rule[0]} {rule[1]} matches no finding: remove it"


def hadolint():
    if not (ROOT / "Dockerfile").exists():
        return
    result = run("hadolint", "--no-color", str(ROOT / "Dockerfile"))
    for line in result.stdout.splitlines():
        yield line.removeprefix(f"{ROOT}/")
    if result.returncode and not result.stdout:
        yield f"hadolint: {result.stderr.strip()}"


def generated():
    """Checks that no file of deploy/lib/generate is old."""
    for line in run("python3", str(ROOT / "deploy/lib/generate"), "--check").stdout.splitlines():
        yield f"{line} is old: run deploy/lib/generate"
