"""What other programs say: kustomize, kubectl, checkov and hadolint."""

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
# In place of what overlays/aks/settings leaves open.
FILLED_IN = {
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
# How an overlay takes what is optional: lines that are put behind others.
COMPONENTS = "../../base/components"
OPTIONS = {
    "../../base\n": "../../base\n  - ../../base/scheduled-drain\n",
    f"{COMPONENTS}/postgres-exporter\n": f"{COMPONENTS}/postgres-exporter\n  - {COMPONENTS}/log-volume\n",
}


class Failure(Exception):
    """Something could not be done at all."""


def run(*command, **options):
    home = tempfile.gettempdir()
    # No cluster that this machine may know is to be asked.
    environment = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": os.devnull, "LANG": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **options)


def kustomize(folder, target):
    said = run("kustomize", "build", str(folder))
    if said.returncode:
        raise Failure(f"kustomize build {folder}: {said.stderr.strip()}")
    target.write_text(said.stdout)
    again = run("kubectl", "kustomize", str(folder))
    if again.stdout != said.stdout:
        raise Failure(f"kubectl kustomize {folder} makes something else than kustomize build: {again.stderr.strip()}")


def with_options(target):
    """A copy of the manifests with everything optional, and with what must be filled in filled in."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "deploy", target / "deploy", ignore=shutil.ignore_patterns("azure", "check"))
    shutil.copytree(ROOT / "dashboards", target / "dashboards")
    for path in (target / "deploy/overlays").glob("**/kustomization.yaml"):
        text = path.read_text()
        for line, lines in OPTIONS.items():
            deeper = "../" * (len(path.relative_to(target / "deploy/overlays").parts) - 2)
            text = text.replace("- " + deeper + line, "- " + lines.replace("../../", deeper + "../../"))
        path.write_text(text)
    settings = target / "deploy/overlays/aks/settings/settings.env"
    names = re.findall(r"^(\w+)=", settings.read_text(), re.MULTILINE)
    if set(names) != set(FILLED_IN):
        raise Failure(
            f"deploy/check/lib/outside.py fills in {sorted(FILLED_IN)}, but {settings.name} has {sorted(names)}"
        )
    settings.write_text("".join(f"{name}={value}\n" for name, value in FILLED_IN.items()))


def render(target):
    """All that there is to look at: the base, both overlays, and both with everything optional."""
    target.mkdir(parents=True, exist_ok=True)
    with_options(target / "tree")
    worlds = []
    for name, folder in (
        ("base", ROOT / "deploy/base"),
        ("local", ROOT / "deploy/overlays/local"),
        ("aks", ROOT / "deploy/overlays/aks"),
        ("local+options", target / "tree/deploy/overlays/local"),
        ("aks+options", target / "tree/deploy/overlays/aks"),
    ):
        kustomize(folder, target / f"{name}.yaml")
        worlds.append(load(target / f"{name}.yaml", name, complete=name != "base"))
    return worlds


def filled_in(world):
    """Where everything is filled in, no placeholder is left; each of the settings has its place."""
    if world.name != "aks+options":
        return
    text = yaml.safe_dump_all(world.objects)
    for placeholder in ("fill-in", "00000000-0000", "192.0.2.", "203.0.113.", "the-overlay-says"):
        for line in text.splitlines():
            if placeholder in line:
                yield f"{line.strip()}: is not filled in by settings.env: see deploy/overlays/aks/fill-in"
    for name, value in FILLED_IN.items():
        if value not in text:
            yield f"settings.env: {name} comes to no place: deploy/overlays/aks/fill-in does not use it"


def options(world):
    """The optional parts are there when an overlay takes them, and only then."""
    if not world.complete:
        return
    there = (
        bool(world.find("CronJob", "contacts-dlq-drain-scheduled")),
        bool(world.find("PersistentVolumeClaim", "contacts-logs")),
    )
    if there != (world.name.endswith("+options"),) * 2:
        yield f"scheduled dead letters, log volume: {there}"
    by_hand = world.find("CronJob", "contacts-dlq-drain")
    if get(by_hand, "spec", "suspend") is not True:
        yield "CronJob/contacts-dlq-drain: must be suspended"


def kubectl(world):
    """kubectl reads every object into its own types, which refuses quantities and types that a schema lets pass."""
    known = [thing for thing in world.objects if (thing.get("apiVersion"), thing.get("kind")) not in VALIDATORS]
    with tempfile.TemporaryDirectory() as folder:
        everything, builtin = pathlib.Path(folder, "everything.yaml"), pathlib.Path(folder, "builtin.yaml")
        everything.write_text(yaml.safe_dump_all(world.objects))
        builtin.write_text(yaml.safe_dump_all(known))
        # It says of each object without a pod that it has none, which is no fault; what it cannot read, it says, too.
        said = run("kubectl", "set", "env", "--local", "-f", str(builtin), "CHECK-", "-o", "name")
        for line in dict.fromkeys(said.stderr.splitlines()):
            if "unable to decode" in line:
                yield f"kubectl: {line.partition('unable to decode')[2].strip()}"
        said = run("kubectl", "label", "--local", "-f", str(everything), "check=yes", "-o", "name")
        if said.returncode or len(said.stdout.split()) != len(world.objects):
            read = len(said.stdout.split())
            yield f"kubectl reads {read} of {len(world.objects)} objects: {said.stderr.strip()[:300]}"


def skips():
    rules = []
    for line in SKIPS.read_text().splitlines():
        if line and not line.startswith("#"):
            check, resource, reason = line.split(None, 2)
            rules.append((check, resource, reason))
    return rules


def checkov(worlds):
    """checkov's checks of manifests; what it finds must be in skips.txt, and what is there must be found."""
    rules, used = skips(), set()
    with tempfile.TemporaryDirectory() as folder:
        for world in worlds:
            pathlib.Path(folder, f"{world.name.split('+')[0]}.yaml").write_text(yaml.safe_dump_all(world.objects))
        # Its exit code only says that it found something.
        said = run(
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
        report = json.loads(said.stdout)
        failed, passed = report["results"]["failed_checks"], report["summary"]["passed"]
    except (ValueError, KeyError, TypeError):
        yield f"checkov says nothing that can be read: {(said.stdout + said.stderr)[-500:]}"
        return
    if passed < 100 * len(worlds):
        yield f"checkov looked at almost nothing: {passed} checks passed"
    for finding in failed:
        kind, _, name = finding["resource"].partition(".")
        resource = f"{kind}/{name.split('.')[-1]}"
        rule = next(
            (rule for rule in rules if rule[0] == finding["check_id"] and fnmatch.fnmatch(resource, rule[1])), None
        )
        used.add(rule)
        if rule is None:
            yield (
                f"{finding['file_path']} {resource}: {finding['check_id']} {finding['check_name']}: mend it, or say "
                "why not in deploy/check/skips.txt"
            )
    for rule in rules:
        if rule not in used:
            yield f"deploy/check/skips.txt: {rule[0]} {rule[1]} finds nothing any more: remove it"


def hadolint():
    if not (ROOT / "Dockerfile").exists():
        return
    said = run("hadolint", "--no-color", str(ROOT / "Dockerfile"))
    for line in said.stdout.splitlines():
        yield line.removeprefix(f"{ROOT}/")
    if said.returncode and not said.stdout:
        yield f"hadolint: {said.stderr.strip()}"
