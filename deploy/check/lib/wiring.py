"""What objects say of each other: selectors, ports, names of ConfigMaps, Secrets, claims, accounts and hosts."""

import base64
import re

from manifests import NAME, World, get, label, selects
from schemas import vault_objects

URL = re.compile(r"(?:amqps?|postgres(?:ql)?|https?)://(?:[^@/\s]*@)?([A-Za-z0-9.-]+)(?::(\d+))?")
DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671, "postgres": 5432, "postgresql": 5432, "http": 80, "https": 443}


def selectors(world: World):
    """Every selector finds what it is for, and nothing else."""
    pods = world.pods
    for thing in world.of("Deployment", "StatefulSet"):
        selector = get(thing, "spec", "selector")
        matched = {pod.owner for pod in pods if selects(selector, pod.labels)}
        if label(thing) not in matched:
            yield f"{label(thing)}: its selector does not match its own pods: see the labels of its template"
        for other in matched - {label(thing)}:
            yield f"{label(thing)}: its selector also matches the pods of {other}: give them labels that differ"
    for service in world.of("Service"):
        matched = [pod for pod in pods if selects({"matchLabels": get(service, "spec", "selector")}, pod.labels)]
        if not matched:
            yield f"{label(service)}: its selector matches no pod"
        if len(matched) > 1:
            yield f"{label(service)}: its selector matches the pods of {', '.join(pod.owner for pod in matched)}"
        for port in get(service, "spec", "ports", default=[]):
            target = port.get("targetPort", port["port"])
            for pod in matched:
                if not isinstance(target, str):
                    yield f"{label(service)}: targetPort {target} is a number: use the name of the port"
                elif target not in {own.get("name") for own in pod.ports}:
                    yield f"{label(service)}: targetPort {target} is no port of {pod.owner}"
    for budget in world.of("PodDisruptionBudget"):
        matched = [pod for pod in pods if selects(get(budget, "spec", "selector"), pod.labels)]
        if len(matched) != 1:
            yield f"{label(budget)}: must match the pods of one workload, not of {[pod.owner for pod in matched]}"
    for pod in pods:
        for constraint in get(pod.spec, "topologySpreadConstraints", default=[]):
            if not selects(constraint.get("labelSelector"), pod.labels):
                yield f"{pod.owner}: a topologySpreadConstraint does not match its own pods"
    for policy in world.of("NetworkPolicy"):
        yield from policy_selectors(world, policy, pods)
    yield from scaling(world)
    for thing in world.of("StatefulSet"):
        name = get(thing, "spec", "serviceName")
        if not any(service["metadata"]["name"] == name for service in world.services):
            yield f"{label(thing)}: there is no Service {name} (spec.serviceName)"


def policy_selectors(world, policy, pods):
    spec = policy["spec"]
    chosen = [pod for pod in pods if selects(spec["podSelector"], pod.labels)]
    if not chosen and world.complete:
        yield f"{label(policy)}: its podSelector matches no pod"
    declared = {port["containerPort"] for pod in chosen for port in pod.ports}
    # Ports that operators' pods have and no container declares.
    undeclared = {5671, 25672} if any(pod.made_by_operator for pod in chosen) else set()
    for rule in get(spec, "ingress", default=[]) + get(spec, "egress", default=[]):
        for peer in rule.get("from", []) + rule.get("to", []):
            ours = "podSelector" in peer and "namespaceSelector" not in peer and world.complete
            if ours and not any(selects(peer["podSelector"], pod.labels) for pod in pods):
                yield f"{label(policy)}: the selector {peer['podSelector']} matches no pod"
    for rule in get(spec, "ingress", default=[]):
        for port in rule.get("ports", []):
            if "endPort" not in port and port["port"] not in declared | undeclared and chosen:
                yield f"{label(policy)}: lets in port {port['port']}, which no container of {chosen[0].owner} has"


def scaling(world):
    for scaler in world.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        thing = world.find(target.get("kind", "Deployment"), target["name"])
        if thing is None:
            yield f"{label(scaler)}: there is no {target.get('kind', 'Deployment')} {target['name']} to scale"
            continue
        if get(thing, "spec", "replicas") is not None:
            yield f"{label(thing)}: says spec.replicas, which {label(scaler)} decides: remove it"
        for metric in get(scaler, "spec", "metrics", default=[]):
            for container in get(thing, "spec", "template", "spec", "containers"):
                if get(container, "resources", "requests", get(metric, "resource", "name")) is None:
                    yield f"{label(scaler)}: container {container['name']} requests no {metric['resource']['name']}"
        for trigger in get(scaler, "spec", "triggers", default=[]):
            name = get(trigger, "authenticationRef", "name")
            if not world.find("TriggerAuthentication", name):
                yield f"{label(scaler)}: there is no TriggerAuthentication {name}"
    targets = [
        get(scaler, "spec", "scaleTargetRef", "name") for scaler in world.of("HorizontalPodAutoscaler", "ScaledObject")
    ]
    for name in {name for name in targets if targets.count(name) > 1}:
        yield f"Deployment/{name}: two scalers would work against each other"


def ports(world: World):
    """Ports have names, probes ask ports that are there."""
    for pod in world.pods:
        if pod.made_by_operator:
            continue
        names = [port.get("name") for port in pod.ports]
        if None in names or len(set(names)) < len(names):
            yield f"{pod.owner}: each of its ports must have a name of its own: {names}"
        for container in pod.containers:
            own = {port.get("name") for port in get(container, "ports", default=[])}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                for action in ("httpGet", "tcpSocket"):
                    port = get(container, kind, action, "port")
                    if port is not None and port not in own:
                        has = sorted(map(str, own))
                        yield f"{pod.owner}: {kind} of {container['name']} asks port {port}; its ports are {has}"
            if own and not all(container.get(kind) for kind in ("livenessProbe", "readinessProbe")):
                yield f"{pod.owner}: {container['name']} listens and has not both a livenessProbe and a readinessProbe"


def mounted(world: World, volume):
    """The files of a volume and where each comes from: path -> (kind, object, key). None if nobody can know."""

    def of(kind, name, items, keys):
        if keys is None:
            return {}
        chosen = [(item["key"], item["path"]) for item in items] if items else [(key, key) for key in keys]
        return {path: (kind, name, key) for key, path in chosen}

    def config(source):
        found = world.find("ConfigMap", source["name"])
        keys = {*get(found, "data", default={}), *get(found, "binaryData", default={})} if found else None
        return of("ConfigMap", source["name"], source.get("items"), keys)

    if "configMap" in volume:
        return config(volume["configMap"])
    if "secret" in volume:
        source = volume["secret"]
        return of("Secret", source["secretName"], source.get("items"), world.secret_keys(source["secretName"]))
    if "projected" in volume:
        files = {}
        for source in volume["projected"]["sources"]:
            if "configMap" in source:
                files.update(config(source["configMap"]))
            elif "secret" in source:
                name = source["secret"]["name"]
                files.update(of("Secret", name, source["secret"].get("items"), world.secret_keys(name)))
        return files
    if "csi" in volume:
        name = get(volume, "csi", "volumeAttributes", "secretProviderClass")
        found = world.find("SecretProviderClass", name)
        objects = vault_objects(found) if found else []
        return {
            entry.get("objectAlias", entry["objectName"]): ("SecretProviderClass", name, entry["objectName"])
            for entry in objects
        }
    return None


def files_of(world: World, pod, container):
    """The files that a container finds, by full path, and the folders of which nobody knows what is in them."""
    volumes = {volume["name"]: volume for volume in get(pod.spec, "volumes", default=[])}
    files, folders = {}, []
    for mount in get(container, "volumeMounts", default=[]):
        volume = volumes.get(mount["name"])
        inside = mounted(world, volume) if volume else None
        if inside is None:
            folders.append(mount["mountPath"])
        elif "subPath" in mount:
            files[mount["mountPath"]] = inside.get(mount["subPath"])
        else:
            for path, source in inside.items():
                files[f"{mount['mountPath'].rstrip('/')}/{path}"] = source
    return files, folders


def references(world: World):
    """Everything that is named is there, and everything that is there is used."""
    if not world.complete:
        return
    used = set()
    for pod in world.pods:
        if pod.made_by_operator:
            continue
        yield from volumes_of(world, pod)
        for container in pod.containers:
            yield from environment_of(world, pod, container, used)
            yield from paths_of(world, pod, container, used)
        account = get(pod.spec, "serviceAccountName")
        if account and not world.find("ServiceAccount", account):
            yield f"{pod.owner}: there is no ServiceAccount {account}"
        if account:
            used.add(("ServiceAccount", account, None))
    for authentication in world.of("TriggerAuthentication"):
        for reference in get(authentication, "spec", "secretTargetRef", default=[]):
            if reference["key"] not in (world.secret_keys(reference["name"]) or set()):
                yield f"{label(authentication)}: there is no key {reference['key']} in a Secret {reference['name']}"
    yield from rights(world)
    yield from unused(world, used)


def volumes_of(world, pod):
    volumes = get(pod.spec, "volumes", default=[])
    names = [volume["name"] for volume in volumes]
    owner = world.find(*pod.owner.split("/"))
    names += [claim["metadata"]["name"] for claim in get(owner, "spec", "volumeClaimTemplates", default=[])]
    mounts = {mount["name"] for container in pod.containers for mount in get(container, "volumeMounts", default=[])}
    for name in mounts - set(names):
        yield f"{pod.owner}: mounts a volume {name} that it does not have"
    for name in set(names) - mounts:
        yield f"{pod.owner}: has a volume {name} that no container mounts"
    for volume in volumes:
        sources = [volume] + get(volume, "projected", "sources", default=[])
        for source in sources:
            for kind, field, naming in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
                if field not in source:
                    continue
                name = source[field].get(naming) or source[field].get("name")
                found = world.find(kind, name)
                keys = world.secret_keys(name) if kind == "Secret" else found and set(get(found, "data", default={}))
                if keys is None:
                    yield f"{pod.owner}: there is no {kind} {name}"
                    continue
                for item in source[field].get("items", []):
                    if item["key"] not in keys:
                        yield f"{pod.owner}: {kind} {name} has no key {item['key']}; it has {sorted(keys)}"
        claim = get(volume, "persistentVolumeClaim", "claimName")
        if claim and not world.find("PersistentVolumeClaim", claim):
            yield f"{pod.owner}: there is no PersistentVolumeClaim {claim}"
        vault = get(volume, "csi", "volumeAttributes", "secretProviderClass")
        if "csi" in volume and not world.find("SecretProviderClass", vault):
            yield f"{pod.owner}: there is no SecretProviderClass {vault}"


def environment_of(world, pod, container, used):
    for source in get(container, "envFrom", default=[]):
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in source:
                name = source[field]["name"]
                found = world.find(kind, name)
                if not found:
                    yield f"{pod.owner}: there is no {kind} {name} (envFrom of {container['name']})"
                else:
                    used.update((kind, name, key) for key in get(found, "data", default={}))
    for variable in get(container, "env", default=[]):
        for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            reference = get(variable, "valueFrom", field)
            if not reference:
                continue
            found = world.find(kind, reference["name"])
            keys = world.secret_keys(reference["name"]) if kind == "Secret" else found and set(found.get("data", {}))
            if reference["key"] not in (keys or set()):
                missing = f"there is no key {reference['key']} in a {kind} {reference['name']}"
                yield f"{pod.owner}: {variable['name']}: {missing}"
            used.add((kind, reference["name"], reference["key"]))


def paths_of(world, pod, container, used):
    files, folders = files_of(world, pod, container)
    words = [(variable["name"], variable.get("value", "")) for variable in get(container, "env", default=[])]
    words += [("args", word.partition("=")[2] or word) for word in get(container, "args", default=[])]
    for mount in get(container, "volumeMounts", default=[]):
        if "subPath" in mount:
            if files.get(mount["mountPath"]) is None:
                yield f"{pod.owner}: subPath {mount['subPath']} is not in volume {mount['name']}"
            else:
                used.add(files[mount["mountPath"]])
    for name, value in words:
        if not value.startswith("/"):
            continue
        if value in files:
            used.add(files[value])
        elif name.endswith("_FILE") and not any(value.startswith(folder.rstrip("/") + "/") for folder in folders):
            yield f"{pod.owner}: {name} names {value}, which no volume brings; there are {sorted(files)}"
        else:
            roots = {mount["mountPath"].rstrip("/") for mount in get(container, "volumeMounts", default=[])}
            unknown = {folder.rstrip("/") for folder in folders}
            root = max((root for root in roots if value.startswith(root + "/")), key=len, default=None)
            inside = any(path.startswith(value.rstrip("/") + "/") for path in files)
            if root and root not in unknown and not inside:
                yield f"{pod.owner}: {name} names {value}, which is not in what is mounted at {root}"
    # A ConfigMap that is mounted as a folder is there for whoever reads the folder.
    used.update(source for source in files.values() if source and source[0] == "ConfigMap")


def unused(world, used):
    for kind in ("ConfigMap", "Secret"):
        for thing in world.of(kind):
            name = thing["metadata"]["name"]
            keys = get(thing, "data", default={}) if kind == "ConfigMap" else world.secret_keys(name)
            for key in sorted(keys):
                if (kind, name, key) not in used:
                    yield f"{label(thing)}: nothing uses its key {key}: remove it, or name it where it is needed"
    for thing in world.of("SecretProviderClass"):
        for entry in vault_objects(thing):
            if ("SecretProviderClass", thing["metadata"]["name"], entry["objectName"]) not in used:
                yield f"{label(thing)}: no pod uses {entry['objectName']}: remove it, or name its file"
    claims = {
        get(volume, "persistentVolumeClaim", "claimName")
        for pod in world.pods
        for volume in get(pod.spec, "volumes", default=[])
    }
    for thing in world.of("PersistentVolumeClaim"):
        if thing["metadata"]["name"] not in claims:
            yield f"{label(thing)}: no pod uses it"
    for thing in world.of("ServiceAccount"):
        if ("ServiceAccount", thing["metadata"]["name"], None) not in used:
            yield f"{label(thing)}: no pod uses it"


def rights(world):
    """Roles are for service accounts that are there; only Prometheus has one, and only to look for pods."""
    bound = set()
    for binding in world.of("RoleBinding", "ClusterRoleBinding"):
        bound.add(get(binding, "roleRef", "name"))
        if not world.find(get(binding, "roleRef", "kind"), get(binding, "roleRef", "name")):
            yield f"{label(binding)}: there is no {get(binding, 'roleRef', 'kind')} {get(binding, 'roleRef', 'name')}"
        for subject in get(binding, "subjects", default=[]):
            account = world.find("ServiceAccount", subject["name"])
            if not account or get(account, "metadata", "namespace") != subject.get("namespace"):
                yield f"{label(binding)}: there is no ServiceAccount {subject.get('namespace')}/{subject['name']}"
    for role in world.of("Role"):
        if get(role, "metadata", "name") not in bound:
            yield f"{label(role)}: no RoleBinding names it"
        wanted = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
        if role["rules"] != wanted:
            yield f"{label(role)}: only Prometheus has rights, and only to see pods; this says {role['rules']}"
    for thing in world.of("ClusterRole", "ClusterRoleBinding"):
        yield f"{label(thing)}: nothing here needs rights beyond its namespace"


def hosts(world: World):
    """Whoever is named as a host inside the cluster is a Service, with that port."""
    if not world.complete:
        return
    texts = []
    for pod in world.pods:
        for container in pod.containers:
            texts += [(pod.owner, variable.get("value", "")) for variable in get(container, "env", default=[])]
    for thing in world.of("Secret"):
        data = {key: base64.b64decode(value).decode() for key, value in get(thing, "data", default={}).items()}
        texts += [(label(thing), value) for value in data.values()]
    for thing in world.of("ConfigMap"):
        if get(thing, "metadata", "labels", NAME) == "contacts":
            texts += [(label(thing), value) for value in get(thing, "data", default={}).values()]
    for thing in world.of("ScaledObject"):
        texts += [(label(thing), get(trigger, "metadata", "host", default="")) for trigger in thing["spec"]["triggers"]]
    for where, text in texts:
        if where.endswith("/postgres-exporter") and re.match(r"[a-z0-9.-]+:\d+/", text):
            text = f"postgres://{text}"
        for match in URL.finditer(text):
            host = match[1].split(".")
            # A dot means another place, but for SERVICE.NAMESPACE.svc.
            if len(host) > 1 and host[2:3] != ["svc"]:
                continue
            if len(host) > 1 and not world.find("Namespace", host[1]):
                yield f"{where}: {match[1]} is in a namespace that is not ours"
            service = next((thing for thing in world.services if thing["metadata"]["name"] == host[0]), None)
            port = int(match[2] or DEFAULT_PORTS[text[match.start() :].split(":")[0]])
            if service is None:
                yield f"{where}: names the host {match[1]}, and there is no such Service"
            elif port not in {own["port"] for own in service["spec"]["ports"]}:
                has = [own["port"] for own in service["spec"]["ports"]]
                yield f"{where}: names {match[1]}:{port}; the Service has {has}"
