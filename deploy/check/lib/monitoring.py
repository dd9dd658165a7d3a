"""Checks that Prometheus finds its targets, and that every rule and dashboard is deployed."""

import json
import re

import yaml

from manifests import ROOT, Manifests, get, label, selects


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


def jobs(manifests):
    """Each job of prometheus.yml: which ports it finds, how it asks them, and which labels it gives."""
    maps = {name: data for obj in manifests.of("ConfigMap") for name, data in get(obj, "data", default={}).items()}
    found = {}
    for job in yaml.safe_load(maps["prometheus.yml"])["scrape_configs"]:
        # The operator itself leaves out pods that have ended, and adds these two labels.
        rules = [rule for rule in job["relabel_configs"] if rule.get("target_label") not in (None, "namespace", "pod")]
        found[job["job_name"]] = {
            "ports": {
                (pod.role, port["name"])
                for pod in manifests.pods
                for port in pod.ports
                if is_kept(job, discovered_labels(pod, port))
            },
            "path": job.get("metrics_path", "/metrics"),
            "params": job.get("params"),
            "labels": {rule["target_label"]: rule.get("source_labels") for rule in rules},
            "metrics": [(rule["action"], rule["regex"]) for rule in job.get("metric_relabel_configs", [])],
        }
    return found


def monitored(manifests):
    """The same for each endpoint of the PodMonitors."""
    found = {}
    for monitor in manifests.of("PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            labels = {rule["targetLabel"]: rule for rule in endpoint["relabelings"]}
            job = labels.pop("job", {}).get("replacement")
            found[job] = {
                "ports": {
                    (pod.role, port["name"])
                    for pod in manifests.pods
                    for port in pod.ports
                    if selects(monitor["spec"]["selector"], pod.labels) and port["name"] == endpoint["port"]
                },
                "path": endpoint.get("path", "/metrics"),
                "params": endpoint.get("params"),
                "labels": {name: rule.get("sourceLabels") for name, rule in labels.items()},
                "metrics": [(rule["action"], rule["regex"]) for rule in endpoint.get("metricRelabelings", [])],
            }
    return found


def operator(manifests: Manifests):
    """Checks that the objects for the Prometheus operator mean the same as the files of the own Prometheus."""
    if not manifests.of("PodMonitor", "PrometheusRule"):
        return
    expected, found = jobs(manifests), monitored(manifests)
    for name in sorted(set(expected) | set(found), key=str):
        if expected.get(name) != found.get(name):
            yield f"PodMonitor: job {name} is {found.get(name)}, but in prometheus.yml {expected.get(name)}"
    files = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    if [get(obj, "spec", "groups") for obj in manifests.of("PrometheusRule")] != [groups]:
        yield "PrometheusRule: its groups are not those of deploy/prometheus/rules: run deploy/lib/generate"
    for obj in manifests.of("ConfigMap"):
        labels = get(obj, "metadata", "labels", default={})
        if (labels.get("app.kubernetes.io/component") == "dashboards") != (labels.get("grafana_dashboard") == "1"):
            yield f"{label(obj)}: exactly the dashboards must have the label grafana_dashboard of Grafana's sidecar"


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
