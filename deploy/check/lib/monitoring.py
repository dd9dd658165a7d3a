"""Checks that Prometheus finds its targets, and that every rule and dashboard is deployed."""

import json
import re

import yaml

from manifests import ROOT, Manifests, get, label


def discovered_labels(pod, container_port):
    """The labels that Prometheus discovers for a port of a pod, if prometheus.yml uses them."""
    labels = {
        "__meta_kubernetes_pod_phase": "Running",
        "__meta_kubernetes_pod_container_port_name": container_port["name"],
    }
    for key, value in pod.labels.items():
        labels["__meta_kubernetes_pod_label_" + re.sub(r"[^A-Za-z0-9]", "_", key)] = value
    return labels


def is_kept(job, labels):
    for rule in job.get("relabel_configs", []):
        text = ";".join(labels.get(name, "") for name in rule.get("source_labels", []))
        if rule.get("action") == "keep" and not re.fullmatch(rule["regex"], text):
            return False
    return True


def scraped(manifests: Manifests):
    maps = {name: data for obj in manifests.of("ConfigMap") for name, data in get(obj, "data", default={}).items()}
    if "prometheus.yml" not in maps:
        yield "no ConfigMap has prometheus.yml"
        return
    configuration = yaml.safe_load(maps["prometheus.yml"])
    expected = {"contacts": {pod.role for pod in manifests.pods} & {"producer", "consumer", "console"}}
    if manifests.complete:
        expected.update({"rabbitmq": {"rabbitmq"}, "rabbitmq-queues": {"rabbitmq"}, "postgres": {"postgres-exporter"}})
    for job in configuration["scrape_configs"]:
        found = {pod.role for pod in manifests.pods for port in pod.ports if is_kept(job, discovered_labels(pod, port))}
        if found != expected.get(job["job_name"], found):
            yield (
                f"Prometheus: job {job['job_name']} finds {sorted(found)} instead of {sorted(expected[job['job_name']])}"
                ": check the labels and the names of the ports"
            )
    for missing in set(expected) - {job["job_name"] for job in configuration["scrape_configs"]}:
        yield f"Prometheus: prometheus.yml has no job {missing}"


def shipped(manifests: Manifests):
    """Checks that every file in deploy/prometheus/rules and dashboards is in a ConfigMap and mounted."""
    maps = [data for obj in manifests.of("ConfigMap") for data in get(obj, "data", default={}).items()]
    files = [*sorted((ROOT / "deploy/prometheus/rules").glob("*.yml")), *sorted((ROOT / "dashboards").glob("*.json"))]
    mounted = json.dumps([pod.spec.get("volumes") for pod in manifests.pods])
    for file in files:
        if (file.name, file.read_text()) not in maps:
            yield f"{file.relative_to(ROOT)} is in no ConfigMap: add it to its kustomization.yaml"
    for obj in manifests.of("ConfigMap"):
        if json.dumps(obj["metadata"]["name"]) not in mounted and "CONTACTS__ADMIN__LISTEN" not in get(
            obj, "data", default={}
        ):
            yield f"{label(obj)}: no pod mounts it"


def provisioned(manifests: Manifests):
    """Checks that Grafana's dashboard folder is mounted and that its variables are set."""
    grafana = manifests.find("Deployment", "grafana")
    container = get(grafana, "spec", "template", "spec", "containers", 0, default={})
    mounts = {mount["mountPath"] for mount in get(container, "volumeMounts", default=[])}
    variables = {variable["name"] for variable in get(container, "env", default=[])}
    for obj in manifests.of("ConfigMap"):
        for name, text in get(obj, "data", default={}).items():
            if not obj["metadata"]["name"].startswith("grafana-provisioning"):
                continue
            for provider in get(yaml.safe_load(text), "providers", default=[]):
                if provider["options"]["path"] not in mounts:
                    yield f"Grafana: {name} reads {provider['options']['path']}, where nothing is mounted"
            for variable in re.findall(r"\$\{(\w+)\}", text):
                if variable not in variables:
                    yield f"Grafana: {name} needs the variable {variable}, which its container does not have"
