"""Values that no schema looks into: quantities, names, images, schedules, and what every pod must keep to."""

import re
import zoneinfo

from manifests import COMPONENT, NAME, World, get, label, version

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
# More than this and the API server refuses a ConfigMap or Secret.
LARGEST = 1024 * 1024


def amount(text):
    """A quantity as a number, or None if it is none."""
    match = QUANTITY.fullmatch(str(text))
    return float(match[1]) * FACTORS[match[2] or ""] if match else None


def quantities(world: World):
    for pod in world.pods:
        for container in pod.containers:
            where = f"{pod.owner}: container {container['name']}"
            requests, limits = (get(container, "resources", of, default={}) for of in ("requests", "limits"))
            for kind, values in (("requests", requests), ("limits", limits)):
                for resource, value in values.items():
                    if amount(value) is None:
                        yield f"{where}: {kind}.{resource}: {value} is no quantity: write it as 100m or 64Mi"
                    # 64m of memory is 0.064 bytes, and 1Gi of CPU a billion cores.
                    elif (resource == "memory") != (amount(value) > 1000):
                        yield f"{where}: {kind}.{resource}: {value} is not an amount of {resource}"
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
                yield f"{pod.owner}: volume {volume['name']} has no sizeLimit: it could fill the node's disk"
    claims = [(label(thing), thing["spec"]) for thing in world.of("PersistentVolumeClaim")]
    for thing in world.of("StatefulSet"):
        claims += [(label(thing), claim["spec"]) for claim in get(thing, "spec", "volumeClaimTemplates", default=[])]
    storage = [(where, get(spec, "resources", "requests", "storage")) for where, spec in claims]
    storage += [(label(thing), get(thing, "spec", "persistence", "storage")) for thing in world.of("RabbitmqCluster")]
    for where, value in storage:
        if (amount(value) or 0) < 2**20:
            yield f"{where}: storage: {value} is not an amount of storage"


def names(world: World):
    seen = set()
    for thing in world.objects:
        name, labels = get(thing, "metadata", "name", default=""), get(thing, "metadata", "labels", default={})
        short = thing["kind"] in ("Service", "Namespace")
        if not (DNS_LABEL if short else SUBDOMAIN).fullmatch(name) or len(name) > (63 if short else 253):
            yield f"{label(thing)}: {name!r} is no name that Kubernetes takes"
        # A CronJob's Jobs and a Job's pods have longer names of their own.
        if thing["kind"] in ("CronJob", "Job", "StatefulSet") and len(name) > 52:
            yield f"{label(thing)}: its name has more than 52 characters, which leaves no room for those of its pods"
        for key in (NAME, COMPONENT):
            if key not in labels:
                yield f"{label(thing)}: has no label {key}, by which `make deploy` and operators find it"
        for key, value in labels.items():
            if not LABEL_VALUE.fullmatch(value) or len(value) > 63:
                yield f"{label(thing)}: {value!r} is no value for a label ({key})"
        if (thing["apiVersion"].split("/")[0], thing["kind"], name) in seen:
            yield f"{label(thing)}: is there twice"
        seen.add((thing["apiVersion"].split("/")[0], thing["kind"], name))
        if not world.complete:
            continue
        if labels.get(PART_OF) != "contacts":
            yield f"{label(thing)}: has no label {PART_OF}=contacts"
        namespace = get(thing, "metadata", "namespace")
        if thing["kind"] not in CLUSTER_WIDE and namespace != NAMESPACE:
            yield f"{label(thing)}: is in namespace {namespace}, not in {NAMESPACE}"
        size = sum(len(value.encode()) for value in get(thing, "data", default={}).values())
        if thing["kind"] in ("ConfigMap", "Secret") and size > LARGEST * 0.9:
            yield f"{label(thing)}: has {size} bytes; more than 1 MiB is refused: split it"
    for pod in world.pods:
        for port in pod.ports:
            if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", port.get("name", "")):
                yield f"{pod.owner}: {port.get('name')!r} is no name for a port: at most 15 small letters, digits and -"


def images(world: World):
    for pod in world.pods:
        for container in pod.containers:
            image = container.get("image", "")
            match = IMAGE.fullmatch(image)
            if not match:
                yield f"{pod.owner}: {image!r} is no image"
                continue
            own = match["name"].split("/")[-1] == "contacts"
            if not world.complete and own:
                continue  # the overlay says which
            if not match["tag"] or match["tag"] == "latest":
                yield f"{pod.owner}: {image}: must have a tag, and not latest: else nobody knows what runs"
            if not own and len(match["name"].split("/")) < 3:
                yield f"{pod.owner}: {image}: must name its registry: clusters differ in what they take without"
            if own and world.name.startswith("local") and match["tag"] != version():
                yield f"{pod.owner}: {image}: Cargo.toml says {version()}: change newTag in deploy/overlays/local"


def schedules(world: World):
    for thing in world.of("CronJob"):
        fields = str(get(thing, "spec", "schedule")).split()
        if len(fields) != 5 or not all(CRON.fullmatch(field) for field in fields):
            yield f"{label(thing)}: {get(thing, 'spec', 'schedule')!r} is no schedule"
        zone = get(thing, "spec", "timeZone")
        if zone is not None and zone not in zoneinfo.available_timezones():
            yield f"{label(thing)}: there is no time zone {zone}"


def confinement(world: World):
    """The rules of the Pod Security Standard `restricted`, and ours beyond it."""
    for namespace in world.of("Namespace"):
        for mode in ("enforce", "audit", "warn"):
            if get(namespace, "metadata", "labels", f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"{label(namespace)}: pod-security.kubernetes.io/{mode} must be restricted"
    if world.complete and not world.of("Namespace"):
        yield "there is no Namespace, so nothing demands confined pods"
    for pod in world.pods:
        yield from restricted(pod)
        if pod.made_by_operator:
            continue
        spec, prometheus = pod.spec, pod.labels.get(NAME) == "prometheus"
        if spec.get("enableServiceLinks") is not False:
            yield f"{pod.owner}: enableServiceLinks must be false: Services would become environment variables"
        if spec.get("automountServiceAccountToken") is not prometheus:
            must = str(prometheus).lower()
            yield f"{pod.owner}: automountServiceAccountToken must be {must}: only Prometheus asks Kubernetes"
        for container in pod.containers:
            if get(container, "securityContext", "readOnlyRootFilesystem") is not True:
                yield f"{pod.owner}: container {container['name']}: readOnlyRootFilesystem must be true"


def restricted(pod):
    whole = get(pod.spec, "securityContext", default={})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield f"{pod.owner}: {field} is forbidden"
    for volume in get(pod.spec, "volumes", default=[]):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"{pod.owner}: volume {volume['name']}: {kind} is forbidden"
    for container in pod.containers:
        own, where = get(container, "securityContext", default={}), f"{pod.owner}: container {container['name']}"
        if (
            own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True
            or own.get("runAsUser", whole.get("runAsUser", 1)) == 0
        ):
            yield f"{where}: runAsNonRoot must be true, and runAsUser not 0"
        if get(own, "seccompProfile", "type", default=get(whole, "seccompProfile", "type")) not in (
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


def secrets(world: World):
    """Passwords are in a manifest only where that is said and harmless."""
    if world.name.startswith("local"):
        return
    for thing in world.of("Secret"):
        yield f"{label(thing)}: only overlays/local may have a Secret in its manifests"


def connections(world: World):
    """PostgreSQL of overlays/local has room for every process at once: by default 8 connections each, and one more."""
    postgres = world.find("StatefulSet", "postgres")
    if not postgres:
        return
    room = 0
    for argument in get(postgres, "spec", "template", "spec", "containers", 0, "args", default=[]):
        room = int(argument.partition("max_connections=")[2] or room)
    settings = next(
        (thing for thing in world.of("ConfigMap") if "CONTACTS__ADMIN__LISTEN" in get(thing, "data", default={})), {}
    )
    each = int(get(settings, "data", "CONTACTS__DATABASE__MAX_CONNECTIONS", default=8)) + 1
    processes = sum(get(thing, "spec", "maxReplicas", default=0) for thing in world.of("HorizontalPodAutoscaler"))
    processes += sum(
        get(thing, "spec", "replicas", default=0)
        for thing in world.of("Deployment")
        if get(thing, "metadata", "labels", NAME) == "contacts"
    )
    # A release has one more of each, and every Job may run.
    need = (processes + 2 + len(world.of("Job", "CronJob"))) * each
    if need > room - 10:
        yield f"{label(postgres)}: max_connections={room} is too few: up to {need} are needed, and some for others"
