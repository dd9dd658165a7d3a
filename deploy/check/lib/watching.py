"""Prometheus finds whom it scrapes, and every rule and dashboard of the repository is there."""

import json
import re

import yaml

from manifests import ROOT, World, get, label


def meta(pod, container_port):
    """What Prometheus' discovery says of a pod's port, as far as our configuration asks for it."""
    said = {
        "__meta_kubernetes_pod_phase": "Running",
        "__meta_kubernetes_pod_container_port_name": container_port["name"],
    }
    for key, value in pod.labels.items():
        said["__meta_kubernetes_pod_label_" + re.sub(r"[^A-Za-z0-9]", "_", key)] = value
    return said


def kept(job, said):
    for rule in job.get("relabel_configs", []):
        text = ";".join(said.get(name, "") for name in rule.get("source_labels", []))
        if rule.get("action") == "keep" and not re.fullmatch(rule["regex"], text):
            return False
    return True


def scraped(world: World):
    maps = {name: data for thing in world.of("ConfigMap") for name, data in get(thing, "data", default={}).items()}
    if "prometheus.yml" not in maps:
        yield "no ConfigMap has prometheus.yml"
        return
    configuration = yaml.safe_load(maps["prometheus.yml"])
    wanted = {"contacts": {"producer", "consumer"}}
    if world.complete:
        wanted.update({"rabbitmq": {"rabbitmq"}, "rabbitmq-queues": {"rabbitmq"}, "postgres": {"postgres-exporter"}})
    for job in configuration["scrape_configs"]:
        found = {pod.role for pod in world.pods for port in pod.ports if kept(job, meta(pod, port))}
        if found != wanted.get(job["job_name"], found):
            yield (
                f"Prometheus: job {job['job_name']} finds {sorted(found)} instead of {sorted(wanted[job['job_name']])}"
                ": look at labels and names of ports"
            )
    for missing in set(wanted) - {job["job_name"] for job in configuration["scrape_configs"]}:
        yield f"Prometheus: prometheus.yml has no job {missing}"


def shipped(world: World):
    """All of deploy/prometheus/rules and dashboards, as they are in the repository, and mounted."""
    maps = [data for thing in world.of("ConfigMap") for data in get(thing, "data", default={}).items()]
    files = [*sorted((ROOT / "deploy/prometheus/rules").glob("*.yml")), *sorted((ROOT / "dashboards").glob("*.json"))]
    mounted = json.dumps([pod.spec.get("volumes") for pod in world.pods])
    for file in files:
        if (file.name, file.read_text()) not in maps:
            yield f"{file.relative_to(ROOT)} is in no ConfigMap: name it in the kustomization.yaml there"
    for thing in world.of("ConfigMap"):
        if json.dumps(thing["metadata"]["name"]) not in mounted and "CONTACTS__ADMIN__LISTEN" not in get(
            thing, "data", default={}
        ):
            yield f"{label(thing)}: no pod mounts it"


def provisioned(world: World):
    """Grafana looks for dashboards where they are mounted, and for a Prometheus that is told."""
    grafana = world.find("Deployment", "grafana")
    container = get(grafana, "spec", "template", "spec", "containers", 0, default={})
    mounts = {mount["mountPath"] for mount in get(container, "volumeMounts", default=[])}
    told = {variable["name"] for variable in get(container, "env", default=[])}
    for thing in world.of("ConfigMap"):
        for name, text in get(thing, "data", default={}).items():
            if not thing["metadata"]["name"].startswith("grafana-provisioning"):
                continue
            for provider in get(yaml.safe_load(text), "providers", default=[]):
                if provider["options"]["path"] not in mounts:
                    yield f"Grafana: {name} looks in {provider['options']['path']}, where nothing is mounted"
            for variable in re.findall(r"\$\{(\w+)\}", text):
                if variable not in told:
                    yield f"Grafana: {name} needs the variable {variable}, which its container does not have"
