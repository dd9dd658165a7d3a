"""Checks values that no schema checks: quantities, names, images, schedules, and the security rules for pods."""

import re
import zoneinfo

from manifests import COMPONENT, NAME, Manifests, get, label, version

PART_OF = "app.kubernetes.io/part-of"
NAMESPACE = "contacts"
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
FACTORS = {
    "": 1,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
IMAGE = re.compile(r"(?P<name>[a-z0-9./-]+(:\d+/[a-z0-9./-]+)?)(:(?P<tag>[\w][\w.-]*))?(@sha256:[0-9a-f]{64})?")
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
CRON = re.compile(r"[\d*,/-]+")
# The maximum size of a ConfigMap or Secret.
MAX_SIZE = 1024 * 1024


def amount(text):
    """A quantity as a number, or None if the text is not a quantity."""
    match = QUANTITY.fullmatch(str(text))
    return float(match[1]) * FACTORS[match[2] or ""] if match else None


def quantities(manifests: Manifests):
    for pod in manifests.pods:
        for container in pod.containers:
            where = f"{pod.owner}: container {container['name']}"
            requests, limits = (get(container, "resources", of, default={}) for of in ("requests", "limits"))
            for kind, values in (("requests", requests), ("limits", limits)):
                for resource, value in values.items():
                    if amount(value) is None:
                        yield f"{where}: {kind}.{resource}: {value} is not a quantity: write for example 100m or 64Mi"
                    # 64m of memory is 0.064 bytes, and 1Gi of CPU is a billion cores.
                    elif (resource == "memory") != (amount(value) > 1000):
                        yield f"{where}: {kind}.{resource}: {value} is not a plausible amount of {resource}"
            for kind, values in (("requests", requests), ("limits", limits)):
                if "memory" not in values:
                    yield f"{where}: has no resources.{kind}.memory"
            if "cpu" not in requests:
                yield f"{where}: has no resources.requests.cpu"
            for resource in set(requests) & set(limits):
                if (amount(requests[resource]) or 0) > (amount(limits[resource]) or 0):
                    yield f"{where}: requests more {resource} than its limit"
        for volume in get(pod.spec, "volumes", default=[]):
            if "emptyDir" in volume and amount(get(volume, "emptyDir", "sizeLimit", default="")) is None:
                yield f"{pod.owner}: volume {volume['name']} has no sizeLimit: it can fill the node's disk"
    claims = [(label(obj), obj["spec"]) for obj in manifests.of("PersistentVolumeClaim")]
    for obj in manifests.of("StatefulSet"):
        claims += [(label(obj), claim["spec"]) for claim in get(obj, "spec", "volumeClaimTemplates", default=[])]
    storage = [(where, get(spec, "resources", "requests", "storage")) for where, spec in claims]
    storage += [(label(obj), get(obj, "spec", "persistence", "storage")) for obj in manifests.of("RabbitmqCluster")]
    for where, value in storage:
        if (amount(value) or 0) < 2**20:
            yield f"{where}: storage: {value} is not an amount of storage"


def names(manifests: Manifests):
    seen = set()
    for obj in manifests.objects:
        name, labels = get(obj, "metadata", "name", default=""), get(obj, "metadata", "labels", default={})
        short = obj["kind"] in ("Service", "Namespace")
        if not (DNS_LABEL if short else SUBDOMAIN).fullmatch(name) or len(name) > (63 if short else 253):
            yield f"{label(obj)}: {name!r} is not a valid name in Kubernetes"
        # The Jobs of a CronJob and the pods of a Job have longer names.
        if obj["kind"] in ("CronJob", "Job", "StatefulSet") and len(name) > 52:
            yield f"{label(obj)}: its name has more than 52 characters, so the names of its pods are too long"
        for key in (NAME, COMPONENT):
            if key not in labels:
                yield f"{label(obj)}: has no label {key}, which `make deploy` and operators need"
        for key, value in labels.items():
            if not LABEL_VALUE.fullmatch(value) or len(value) > 63:
                yield f"{label(obj)}: {value!r} is not a valid label value ({key})"
        if (obj["apiVersion"].split("/")[0], obj["kind"], name) in seen:
            yield f"{label(obj)}: exists twice"
        seen.add((obj["apiVersion"].split("/")[0], obj["kind"], name))
        if not manifests.complete:
            continue
        if labels.get(PART_OF) != "contacts":
            yield f"{label(obj)}: has no label {PART_OF}=contacts"
        namespace = get(obj, "metadata", "namespace")
        if obj["kind"] not in CLUSTER_WIDE and namespace != NAMESPACE:
            yield f"{label(obj)}: is in namespace {namespace}, not in {NAMESPACE}"
        size = sum(len(value.encode()) for value in get(obj, "data", default={}).values())
        if obj["kind"] in ("ConfigMap", "Secret") and size > MAX_SIZE * 0.9:
            yield f"{label(obj)}: has {size} bytes; Kubernetes rejects more than 1 MiB: split it"
    for pod in manifests.pods:
        for port in pod.ports:
            if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", port.get("name", "")):
                yield f"{pod.owner}: {port.get('name')!r} is not a port name: at most 15 small letters, digits and -"


def images(manifests: Manifests):
    for pod in manifests.pods:
        for container in pod.containers:
            image = container.get("image", "")
            match = IMAGE.fullmatch(image)
            if not match:
                yield f"{pod.owner}: {image!r} is not an image name"
                continue
            own = match["name"].split("/")[-1] == "contacts"
            if not manifests.complete and own:
                continue  # the overlay sets the tag
            if not match["tag"] or match["tag"] == "latest":
                yield f"{pod.owner}: {image}: must have a tag other than latest, so that the version is known"
            if not own and len(match["name"].split("/")) < 3:
                yield f"{pod.owner}: {image}: must include the registry, because clusters have different defaults"
            if own and manifests.name.startswith("local") and match["tag"] != version():
                yield f"{pod.owner}: {image}: Cargo.toml has version {version()}: change newTag in overlays/local"


def schedules(manifests: Manifests):
    for obj in manifests.of("CronJob"):
        fields = str(get(obj, "spec", "schedule")).split()
        if len(fields) != 5 or not all(CRON.fullmatch(field) for field in fields):
            yield f"{label(obj)}: {get(obj, 'spec', 'schedule')!r} is not a schedule"
        zone = get(obj, "spec", "timeZone")
        if zone is not None and zone not in zoneinfo.available_timezones():
            yield f"{label(obj)}: unknown time zone {zone}"


def drains(manifests: Manifests):
    """Checks that the drain of a node does not fail a Job: its evicted pod must not count as a failure."""
    ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    for obj in manifests.of("Job", "CronJob"):
        path = ("spec", "jobTemplate", "spec") if obj["kind"] == "CronJob" else ("spec",)
        if ignore not in get(obj, *path, "podFailurePolicy", "rules", default=[]):
            yield f"{label(obj)}: fails if its node is drained: its podFailurePolicy must ignore DisruptionTarget"


def pod_security(manifests: Manifests):
    """Checks the Pod Security Standard `restricted`, and the project's own rules."""
    for namespace in manifests.of("Namespace"):
        for mode in ("enforce", "audit", "warn"):
            if get(namespace, "metadata", "labels", f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"{label(namespace)}: pod-security.kubernetes.io/{mode} must be restricted"
    if manifests.complete and not manifests.of("Namespace"):
        yield "there is no Namespace, so nothing enforces the Pod Security Standard"
    for pod in manifests.pods:
        yield from restricted(pod)
        if pod.made_by_operator:
            continue
        spec, prometheus = pod.spec, pod.labels.get(NAME) == "prometheus"
        if spec.get("enableServiceLinks") is not False:
            yield f"{pod.owner}: enableServiceLinks must be false, so that Services do not become environment variables"
        if spec.get("automountServiceAccountToken") is not prometheus:
            required = str(prometheus).lower()
            yield f"{pod.owner}: automountServiceAccountToken must be {required}: only Prometheus needs a token"
        for container in pod.containers:
            if get(container, "securityContext", "readOnlyRootFilesystem") is not True:
                yield f"{pod.owner}: container {container['name']}: readOnlyRootFilesystem must be true"


def restricted(pod):
    pod_context = get(pod.spec, "securityContext", default={})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield f"{pod.owner}: {field} is forbidden"
    for volume in get(pod.spec, "volumes", default=[]):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"{pod.owner}: volume {volume['name']}: {kind} is forbidden"
    for container in pod.containers:
        own, where = get(container, "securityContext", default={}), f"{pod.owner}: container {container['name']}"
        if (
            own.get("runAsNonRoot", pod_context.get("runAsNonRoot")) is not True
            or own.get("runAsUser", pod_context.get("runAsUser", 1)) == 0
        ):
            yield f"{where}: runAsNonRoot must be true, and runAsUser not 0"
        if get(own, "seccompProfile", "type", default=get(pod_context, "seccompProfile", "type")) not in (
            "RuntimeDefault",
            "Localhost",
        ):
            yield f"{where}: seccompProfile.type must be RuntimeDefault"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{where}: allowPrivilegeEscalation must be false, and privileged not true"
        if get(own, "capabilities", "drop") != ["ALL"] or set(get(own, "capabilities", "add", default=[])) - {
            "NET_BIND_SERVICE"
        }:
            yield f"{where}: capabilities must be dropped: [ALL]"
        for port in get(container, "ports", default=[]):
            if port.get("hostPort"):
                yield f"{where}: hostPort is forbidden"


def secrets(manifests: Manifests):
    """Checks that only overlays/local has secrets in its manifests."""
    if manifests.name.startswith("local"):
        return
    for obj in manifests.of("Secret"):
        yield f"{label(obj)}: only overlays/local may have a Secret in its manifests"


def connections(manifests: Manifests):
    """Checks that PostgreSQL of overlays/local has enough connections: by default 8 and one more for each process."""
    postgres = manifests.find("StatefulSet", "postgres")
    if not postgres:
        return
    available = 0
    for argument in get(postgres, "spec", "template", "spec", "containers", 0, "args", default=[]):
        available = int(argument.partition("max_connections=")[2] or available)
    settings = next(
        (obj for obj in manifests.of("ConfigMap") if "CONTACTS__ADMIN__LISTEN" in get(obj, "data", default={})), {}
    )
    per_process = int(get(settings, "data", "CONTACTS__DATABASE__MAX_CONNECTIONS", default=8)) + 1
    processes = sum(get(obj, "spec", "maxReplicas", default=0) for obj in manifests.of("HorizontalPodAutoscaler"))
    processes += sum(
        get(obj, "spec", "replicas", default=0)
        for obj in manifests.of("Deployment")
        if get(obj, "metadata", "labels", NAME) == "contacts"
    )
    # During a rollout each role has one more pod, and every Job may run.
    need = (processes + 2 + len(manifests.of("Job", "CronJob"))) * per_process
    if need > available - 10:
        yield f"{label(postgres)}: max_connections={available} is too low: up to {need} are needed, and some more"
