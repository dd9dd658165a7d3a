"""Checks the references between objects: selectors, ports, ConfigMaps, Secrets, claims, accounts and hosts."""

import base64
import re

from manifests import NAME, Manifests, get, label, selects
from schemas import vault_objects

URL = re.compile(r"(?:amqps?|postgres(?:ql)?|https?)://(?:[^@/\s]*@)?([A-Za-z0-9.-]+)(?::(\d+))?")
DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671, "postgres": 5432, "postgresql": 5432, "http": 80, "https": 443}


def selectors(manifests: Manifests):
    """Checks that every selector matches only its target."""
    pods = manifests.pods
    for obj in manifests.of("Deployment", "StatefulSet"):
        selector = get(obj, "spec", "selector")
        matched = {pod.owner for pod in pods if selects(selector, pod.labels)}
        if label(obj) not in matched:
            yield f"{label(obj)}: its selector does not match its own pods: check the labels of its template"
        for other in matched - {label(obj)}:
            yield f"{label(obj)}: its selector also matches the pods of {other}: use different labels"
    for service in manifests.of("Service"):
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
                    yield f"{label(service)}: targetPort {target} is not a port of {pod.owner}"
    for budget in manifests.of("PodDisruptionBudget"):
        matched = [pod for pod in pods if selects(get(budget, "spec", "selector"), pod.labels)]
        if len(matched) != 1:
            yield f"{label(budget)}: must match the pods of one workload, but matches {[pod.owner for pod in matched]}"
    for pod in pods:
        for constraint in get(pod.spec, "topologySpreadConstraints", default=[]):
            if not selects(constraint.get("labelSelector"), pod.labels):
                yield f"{pod.owner}: a topologySpreadConstraint does not match its own pods"
    for policy in manifests.of("NetworkPolicy"):
        yield from policy_selectors(manifests, policy, pods)
    yield from scaling(manifests)
    for obj in manifests.of("StatefulSet"):
        name = get(obj, "spec", "serviceName")
        if not any(service["metadata"]["name"] == name for service in manifests.services):
            yield f"{label(obj)}: Service {name} does not exist (spec.serviceName)"


def policy_selectors(manifests, policy, pods):
    spec = policy["spec"]
    selected = [pod for pod in pods if selects(spec["podSelector"], pod.labels)]
    if not selected and manifests.complete:
        yield f"{label(policy)}: its podSelector matches no pod"
    declared = {port["containerPort"] for pod in selected for port in pod.ports}
    # Ports of pods of an operator that no container declares.
    undeclared = {5671, 25672} if any(pod.made_by_operator for pod in selected) else set()
    for rule in get(spec, "ingress", default=[]) + get(spec, "egress", default=[]):
        for peer in rule.get("from", []) + rule.get("to", []):
            own_namespace = "podSelector" in peer and "namespaceSelector" not in peer and manifests.complete
            if own_namespace and not any(selects(peer["podSelector"], pod.labels) for pod in pods):
                yield f"{label(policy)}: the selector {peer['podSelector']} matches no pod"
    for rule in get(spec, "ingress", default=[]):
        for port in rule.get("ports", []):
            if "endPort" not in port and port["port"] not in declared | undeclared and selected:
                yield f"{label(policy)}: allows port {port['port']}, which no container of {selected[0].owner} has"


def scaling(manifests):
    for scaler in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        obj = manifests.find(target.get("kind", "Deployment"), target["name"])
        if obj is None:
            yield f"{label(scaler)}: its target {target.get('kind', 'Deployment')} {target['name']} does not exist"
            continue
        if get(obj, "spec", "replicas") is not None:
            yield f"{label(obj)}: has spec.replicas, but {label(scaler)} sets the number: remove it"
        for metric in get(scaler, "spec", "metrics", default=[]):
            for container in get(obj, "spec", "template", "spec", "containers"):
                if get(container, "resources", "requests", get(metric, "resource", "name")) is None:
                    yield f"{label(scaler)}: container {container['name']} has no request for {metric['resource']['name']}"
        for trigger in get(scaler, "spec", "triggers", default=[]):
            name = get(trigger, "authenticationRef", "name")
            if not manifests.find("TriggerAuthentication", name):
                yield f"{label(scaler)}: TriggerAuthentication {name} does not exist"
    targets = [
        get(scaler, "spec", "scaleTargetRef", "name") for scaler in manifests.of("HorizontalPodAutoscaler", "ScaledObject")
    ]
    for name in {name for name in targets if targets.count(name) > 1}:
        yield f"Deployment/{name}: has two scalers, which conflict"


def ports(manifests: Manifests):
    """Checks that ports have names and that probes use existing ports."""
    for pod in manifests.pods:
        if pod.made_by_operator:
            continue
        names = [port.get("name") for port in pod.ports]
        if None in names or len(set(names)) < len(names):
            yield f"{pod.owner}: each port must have a unique name: {names}"
        for container in pod.containers:
            own = {port.get("name") for port in get(container, "ports", default=[])}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                for action in ("httpGet", "tcpSocket"):
                    port = get(container, kind, action, "port")
                    if port is not None and port not in own:
                        has = sorted(map(str, own))
                        yield f"{pod.owner}: {kind} of {container['name']} uses port {port}; its ports are {has}"
            if own and not all(container.get(kind) for kind in ("livenessProbe", "readinessProbe")):
                yield f"{pod.owner}: {container['name']} has ports, so it needs a livenessProbe and a readinessProbe"


def mounted(manifests: Manifests, volume):
    """The files of a volume and their sources: path -> (kind, object, key). None if the files are unknown."""

    def of(kind, name, items, keys):
        if keys is None:
            return {}
        selected = [(item["key"], item["path"]) for item in items] if items else [(key, key) for key in keys]
        return {path: (kind, name, key) for key, path in selected}

    def config(source):
        found = manifests.find("ConfigMap", source["name"])
        keys = {*get(found, "data", default={}), *get(found, "binaryData", default={})} if found else None
        return of("ConfigMap", source["name"], source.get("items"), keys)

    if "configMap" in volume:
        return config(volume["configMap"])
    if "secret" in volume:
        source = volume["secret"]
        return of("Secret", source["secretName"], source.get("items"), manifests.secret_keys(source["secretName"]))
    if "projected" in volume:
        files = {}
        for source in volume["projected"]["sources"]:
            if "configMap" in source:
                files.update(config(source["configMap"]))
            elif "secret" in source:
                name = source["secret"]["name"]
                files.update(of("Secret", name, source["secret"].get("items"), manifests.secret_keys(name)))
        return files
    if "csi" in volume:
        name = get(volume, "csi", "volumeAttributes", "secretProviderClass")
        found = manifests.find("SecretProviderClass", name)
        objects = vault_objects(found) if found else []
        return {
            entry.get("objectAlias", entry["objectName"]): ("SecretProviderClass", name, entry["objectName"])
            for entry in objects
        }
    return None


def mounted_files(manifests: Manifests, pod, container):
    """The mounted files of a container by path, and the folders with unknown content."""
    volumes = {volume["name"]: volume for volume in get(pod.spec, "volumes", default=[])}
    files, folders = {}, []
    for mount in get(container, "volumeMounts", default=[]):
        volume = volumes.get(mount["name"])
        inside = mounted(manifests, volume) if volume else None
        if inside is None:
            folders.append(mount["mountPath"])
        elif "subPath" in mount:
            files[mount["mountPath"]] = inside.get(mount["subPath"])
        else:
            for path, source in inside.items():
                files[f"{mount['mountPath'].rstrip('/')}/{path}"] = source
    return files, folders


def references(manifests: Manifests):
    """Checks that every referenced object exists and that every object is used."""
    if not manifests.complete:
        return
    used = set()
    for pod in manifests.pods:
        if pod.made_by_operator:
            continue
        yield from check_volumes(manifests, pod)
        for container in pod.containers:
            yield from check_environment(manifests, pod, container, used)
            yield from check_paths(manifests, pod, container, used)
        account = get(pod.spec, "serviceAccountName")
        if account and not manifests.find("ServiceAccount", account):
            yield f"{pod.owner}: ServiceAccount {account} does not exist"
        if account:
            used.add(("ServiceAccount", account, None))
    for authentication in manifests.of("TriggerAuthentication"):
        for reference in get(authentication, "spec", "secretTargetRef", default=[]):
            if reference["key"] not in (manifests.secret_keys(reference["name"]) or set()):
                yield f"{label(authentication)}: Secret {reference['name']} with the key {reference['key']} does not exist"
    yield from rights(manifests)
    yield from unused(manifests, used)


def check_volumes(manifests, pod):
    volumes = get(pod.spec, "volumes", default=[])
    names = [volume["name"] for volume in volumes]
    owner = manifests.find(*pod.owner.split("/"))
    names += [claim["metadata"]["name"] for claim in get(owner, "spec", "volumeClaimTemplates", default=[])]
    mounts = {mount["name"] for container in pod.containers for mount in get(container, "volumeMounts", default=[])}
    for name in mounts - set(names):
        yield f"{pod.owner}: mounts the volume {name}, which does not exist"
    for name in set(names) - mounts:
        yield f"{pod.owner}: no container mounts the volume {name}"
    for volume in volumes:
        sources = [volume] + get(volume, "projected", "sources", default=[])
        for source in sources:
            for kind, field, naming in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
                if field not in source:
                    continue
                name = source[field].get(naming) or source[field].get("name")
                found = manifests.find(kind, name)
                keys = manifests.secret_keys(name) if kind == "Secret" else found and set(get(found, "data", default={}))
                if keys is None:
                    yield f"{pod.owner}: {kind} {name} does not exist"
                    continue
                for item in source[field].get("items", []):
                    if item["key"] not in keys:
                        yield f"{pod.owner}: {kind} {name} has no key {item['key']}; it has {sorted(keys)}"
        claim = get(volume, "persistentVolumeClaim", "claimName")
        if claim and not manifests.find("PersistentVolumeClaim", claim):
            yield f"{pod.owner}: PersistentVolumeClaim {claim} does not exist"
        vault = get(volume, "csi", "volumeAttributes", "secretProviderClass")
        if "csi" in volume and not manifests.find("SecretProviderClass", vault):
            yield f"{pod.owner}: SecretProviderClass {vault} does not exist"


def check_environment(manifests, pod, container, used):
    for source in get(container, "envFrom", default=[]):
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in source:
                name = source[field]["name"]
                found = manifests.find(kind, name)
                if not found:
                    yield f"{pod.owner}: {kind} {name} does not exist (envFrom of {container['name']})"
                else:
                    used.update((kind, name, key) for key in get(found, "data", default={}))
    for variable in get(container, "env", default=[]):
        for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            reference = get(variable, "valueFrom", field)
            if not reference:
                continue
            found = manifests.find(kind, reference["name"])
            keys = manifests.secret_keys(reference["name"]) if kind == "Secret" else found and set(found.get("data", {}))
            if reference["key"] not in (keys or set()):
                missing = f"{kind} {reference['name']} with the key {reference['key']} does not exist"
                yield f"{pod.owner}: {variable['name']}: {missing}"
            used.add((kind, reference["name"], reference["key"]))


def check_paths(manifests, pod, container, used):
    files, folders = mounted_files(manifests, pod, container)
    values = [(variable["name"], variable.get("value", "")) for variable in get(container, "env", default=[])]
    values += [("args", word.partition("=")[2] or word) for word in get(container, "args", default=[])]
    for mount in get(container, "volumeMounts", default=[]):
        if "subPath" in mount:
            if files.get(mount["mountPath"]) is None:
                yield f"{pod.owner}: subPath {mount['subPath']} is not in volume {mount['name']}"
            else:
                used.add(files[mount["mountPath"]])
    for name, value in values:
        if not value.startswith("/"):
            continue
        if value in files:
            used.add(files[value])
        elif name.endswith("_FILE") and not any(value.startswith(folder.rstrip("/") + "/") for folder in folders):
            yield f"{pod.owner}: {name} is {value}, but no volume has this file; the files are {sorted(files)}"
        else:
            roots = {mount["mountPath"].rstrip("/") for mount in get(container, "volumeMounts", default=[])}
            unknown = {folder.rstrip("/") for folder in folders}
            root = max((root for root in roots if value.startswith(root + "/")), key=len, default=None)
            inside = any(path.startswith(value.rstrip("/") + "/") for path in files)
            if root and root not in unknown and not inside:
                yield f"{pod.owner}: {name} is {value}, but the volume at {root} does not have it"
    # A ConfigMap that is mounted as a folder is used as a whole.
    used.update(source for source in files.values() if source and source[0] == "ConfigMap")


def unused(manifests, used):
    for kind in ("ConfigMap", "Secret"):
        for obj in manifests.of(kind):
            name = obj["metadata"]["name"]
            keys = get(obj, "data", default={}) if kind == "ConfigMap" else manifests.secret_keys(name)
            for key in sorted(keys):
                if (kind, name, key) not in used:
                    yield f"{label(obj)}: its key {key} is not used: remove it or use it"
    for obj in manifests.of("SecretProviderClass"):
        for entry in vault_objects(obj):
            if ("SecretProviderClass", obj["metadata"]["name"], entry["objectName"]) not in used:
                yield f"{label(obj)}: no pod uses {entry['objectName']}: remove it or use its file"
    claims = {
        get(volume, "persistentVolumeClaim", "claimName")
        for pod in manifests.pods
        for volume in get(pod.spec, "volumes", default=[])
    }
    for obj in manifests.of("PersistentVolumeClaim"):
        if obj["metadata"]["name"] not in claims:
            yield f"{label(obj)}: no pod uses it"
    for obj in manifests.of("ServiceAccount"):
        if ("ServiceAccount", obj["metadata"]["name"], None) not in used:
            yield f"{label(obj)}: no pod uses it"


def rights(manifests):
    """Checks the Roles: their service accounts exist, and only Prometheus has rights, only to list pods."""
    bound = set()
    for binding in manifests.of("RoleBinding", "ClusterRoleBinding"):
        bound.add(get(binding, "roleRef", "name"))
        if not manifests.find(get(binding, "roleRef", "kind"), get(binding, "roleRef", "name")):
            yield f"{label(binding)}: {get(binding, 'roleRef', 'kind')} {get(binding, 'roleRef', 'name')} does not exist"
        for subject in get(binding, "subjects", default=[]):
            account = manifests.find("ServiceAccount", subject["name"])
            if not account or get(account, "metadata", "namespace") != subject.get("namespace"):
                yield f"{label(binding)}: ServiceAccount {subject.get('namespace')}/{subject['name']} does not exist"
    for role in manifests.of("Role"):
        if get(role, "metadata", "name") not in bound:
            yield f"{label(role)}: no RoleBinding uses it"
        expected = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
        if role["rules"] != expected:
            yield f"{label(role)}: only Prometheus may have rights, only to list pods; this has {role['rules']}"
    for obj in manifests.of("ClusterRole", "ClusterRoleBinding"):
        yield f"{label(obj)}: nothing needs rights outside its namespace"


def hosts(manifests: Manifests):
    """Checks that every host name in the cluster is a Service with that port."""
    if not manifests.complete:
        return
    texts = []
    for pod in manifests.pods:
        for container in pod.containers:
            texts += [(pod.owner, variable.get("value", "")) for variable in get(container, "env", default=[])]
    for obj in manifests.of("Secret"):
        data = {key: base64.b64decode(value).decode() for key, value in get(obj, "data", default={}).items()}
        texts += [(label(obj), value) for value in data.values()]
    for obj in manifests.of("ConfigMap"):
        if get(obj, "metadata", "labels", NAME) == "contacts":
            texts += [(label(obj), value) for value in get(obj, "data", default={}).values()]
    for obj in manifests.of("ScaledObject"):
        texts += [(label(obj), get(trigger, "metadata", "host", default="")) for trigger in obj["spec"]["triggers"]]
    for where, text in texts:
        if where.endswith("/postgres-exporter") and re.match(r"[a-z0-9.-]+:\d+/", text):
            text = f"postgres://{text}"
        for match in URL.finditer(text):
            host = match[1].split(".")
            # A name with a dot is outside the cluster, except SERVICE.NAMESPACE.svc.
            if len(host) > 1 and host[2:3] != ["svc"]:
                continue
            if len(host) > 1 and not manifests.find("Namespace", host[1]):
                yield f"{where}: {match[1]} is in another namespace"
            service = next((obj for obj in manifests.services if obj["metadata"]["name"] == host[0]), None)
            port = int(match[2] or DEFAULT_PORTS[text[match.start() :].split(":")[0]])
            if service is None:
                yield f"{where}: uses the host {match[1]}, but there is no such Service"
            elif port not in {own["port"] for own in service["spec"]["ports"]}:
                has = [own["port"] for own in service["spec"]["ports"]]
                yield f"{where}: uses {match[1]}:{port}, but the ports of the Service are {has}"
