"""What was rendered, in a form that can be asked questions."""

import dataclasses
import functools
import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
# Where a kind has its pod.
TEMPLATES = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


def get(thing, *path, default=None):
    """What is at this path, or the default."""
    for step in path:
        if isinstance(thing, dict):
            thing = thing.get(step)
        elif isinstance(thing, list) and isinstance(step, int) and step < len(thing):
            thing = thing[step]
        else:
            return default
        if thing is None:
            return default
    return thing


def label(thing):
    return f"{thing.get('kind')}/{get(thing, 'metadata', 'name')}"


@dataclasses.dataclass
class Pod:
    """A pod that some object makes; `made_by_operator` if that is an operator, so that little of it is known."""

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
        """Short: the component of ours, else the name."""
        return self.labels[COMPONENT] if self.labels.get(NAME) == "contacts" else self.labels.get(NAME, self.owner)


@dataclasses.dataclass
class World:
    """All objects of a rendering. An incomplete one (the base) leaves to its overlays what it refers to."""

    name: str
    objects: list
    complete: bool = True

    def of(self, *kinds):
        return [thing for thing in self.objects if thing.get("kind") in kinds]

    def find(self, kind, name):
        return next((thing for thing in self.of(kind) if get(thing, "metadata", "name") == name), None)

    @property
    def pods(self):
        pods = []
        for thing in self.of(*TEMPLATES):
            template = get(thing, *TEMPLATES[thing["kind"]])
            if template:
                pods.append(
                    Pod(
                        label(thing), get(template, "metadata", "labels", default={}), get(template, "spec", default={})
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
        """The keys of a Secret, or None if there is none."""
        secret = self.find("Secret", name)
        if secret:
            return {*get(secret, "data", default={}), *get(secret, "stringData", default={})}
        for cluster in self.of("RabbitmqCluster"):
            if name == cluster["metadata"]["name"] + "-default-user":
                return RABBITMQ_USER_KEYS
        return None


# What RabbitMQ's cluster operator makes of a RabbitmqCluster, as its sources say (internal/resource/statefulset.go,
# client_service.go and default_user_secret.go of rabbitmq/cluster-operator; connection_string from version 2.11 on).
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
    for made, asked in ((containers, "containers"), (setup, "initContainers")):
        for container in made:
            extra = next(
                (other for other in get(override, asked, default=[]) if other["name"] == container["name"]), {}
            )
            container.update(extra)
    spec = dict(override, containers=containers, initContainers=setup)
    labels = {NAME: name, COMPONENT: "rabbitmq", "app.kubernetes.io/part-of": "rabbitmq"}
    return Pod(label(cluster), labels, spec, made_by_operator=True)


def load(path, name, complete=True):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return World(name, [thing for thing in yaml.load_all(pathlib.Path(path).read_text(), loader) if thing], complete)


def selects(selector, labels):
    """Whether a label selector matches; an empty one matches all."""
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
    """Our own, from Cargo.toml."""
    for line in (ROOT / "Cargo.toml").read_text().splitlines():
        if line.startswith("version = "):
            return line.split('"')[1]
    raise SystemExit("Cargo.toml has no version")
