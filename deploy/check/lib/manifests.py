"""The rendered manifests, and functions to query them."""

import dataclasses
import functools
import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
# The path of the pod template in each kind.
TEMPLATES = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


def get(obj, *path, default=None):
    """The value at this path, or the default."""
    for step in path:
        if isinstance(obj, dict):
            obj = obj.get(step)
        elif isinstance(obj, list) and isinstance(step, int) and step < len(obj):
            obj = obj[step]
        else:
            return default
        if obj is None:
            return default
    return obj


def label(obj):
    return f"{obj.get('kind')}/{get(obj, 'metadata', 'name')}"


@dataclasses.dataclass
class Pod:
    """The pod of an object. `made_by_operator`: an operator creates the pod, so only some of its fields are known."""

    owner: str
    labels: dict
    spec: dict
    made_by_operator: bool = False

    @property
    def containers(self):
        return get(self.spec, "initContainers", default=[]) + get(self.spec, "containers", default=[])

    @property
    def ports(self):
        return [port for container in self.containers for port in get(container, "ports", default=[])]

    @property
    def role(self):
        """A short name: the component of a contacts pod, else the name label."""
        return self.labels[COMPONENT] if self.labels.get(NAME) == "contacts" else self.labels.get(NAME, self.owner)


@dataclasses.dataclass
class Manifests:
    """All objects of one rendering. The base is not complete: its overlays add some referenced objects."""

    name: str
    objects: list
    complete: bool = True

    def of(self, *kinds):
        return [obj for obj in self.objects if obj.get("kind") in kinds]

    def find(self, kind, name):
        return next((obj for obj in self.of(kind) if get(obj, "metadata", "name") == name), None)

    @property
    def pods(self):
        pods = []
        for obj in self.of(*TEMPLATES):
            template = get(obj, *TEMPLATES[obj["kind"]])
            if template:
                pods.append(
                    Pod(
                        label(obj), get(template, "metadata", "labels", default={}), get(template, "spec", default={})
                    )
                )
        for cluster in self.of("RabbitmqCluster"):
            pods.append(_rabbitmq_pod(cluster))
        return pods

    @property
    def services(self):
        services = self.of("Service")
        for cluster in self.of("RabbitmqCluster"):
            ports = [{"name": port["name"], "port": port["containerPort"]} for port in RABBITMQ_PORTS]
            name = cluster["metadata"]["name"]
            services.append(
                {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": {NAME: name}, "ports": ports}}
            )
        return services

    def secret_keys(self, name):
        """The keys of a Secret, or None if it does not exist."""
        secret = self.find("Secret", name)
        if secret:
            return {*get(secret, "data", default={}), *get(secret, "stringData", default={})}
        for cluster in self.of("RabbitmqCluster"):
            if name == cluster["metadata"]["name"] + "-default-user":
                return RABBITMQ_USER_KEYS
        return BY_HAND.get(name)


# The Secrets that a person creates, in no manifest, and their keys.
BY_HAND = {"contacts-console": {"console-keys"}}
# The objects that RabbitMQ's cluster operator creates for a RabbitmqCluster. Source: internal/resource/statefulset.go,
# client_service.go and default_user_secret.go of rabbitmq/cluster-operator (connection_string since version 2.11).
RABBITMQ_PORTS = [
    {"name": "epmd", "containerPort": 4369},
    {"name": "amqp", "containerPort": 5672},
    {"name": "http", "containerPort": 15672},
    {"name": "prometheus", "containerPort": 15692},
]
RABBITMQ_USER_KEYS = {
    "username",
    "password",
    "default_user.conf",
    "provider",
    "type",
    "host",
    "port",
    "connection_string",
}


def _rabbitmq_pod(cluster):
    name = cluster["metadata"]["name"]
    override = get(cluster, "spec", "override", "statefulSet", "spec", "template", "spec", default={})
    own = {"image": get(cluster, "spec", "image"), "resources": get(cluster, "spec", "resources", default={})}
    containers = [dict(own, name="rabbitmq", ports=RABBITMQ_PORTS)]
    setup = [dict(own, name="setup-container")]
    for target, field in ((containers, "containers"), (setup, "initContainers")):
        for container in target:
            extra = next(
                (other for other in get(override, field, default=[]) if other["name"] == container["name"]), {}
            )
            container.update(extra)
    spec = dict(override, containers=containers, initContainers=setup)
    labels = {NAME: name, COMPONENT: "rabbitmq", "app.kubernetes.io/part-of": "rabbitmq"}
    return Pod(label(cluster), labels, spec, made_by_operator=True)


def load(path, name, complete=True):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Manifests(name, [obj for obj in yaml.load_all(pathlib.Path(path).read_text(), loader) if obj], complete)


def selects(selector, labels):
    """Whether a label selector matches. An empty selector matches all labels."""
    for key, value in (get(selector, "matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in get(selector, "matchExpressions") or []:
        value, values, operator = labels.get(rule["key"]), rule.get("values", []), rule["operator"]
        if not {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[operator]:
            return False
    return True


@functools.cache
def version():
    """The version of contacts, from Cargo.toml."""
    for line in (ROOT / "Cargo.toml").read_text().splitlines():
        if line.startswith("version = "):
            return line.split('"')[1]
    raise SystemExit("Cargo.toml has no version")
