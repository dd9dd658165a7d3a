"""Compares the traffic that all NetworkPolicies together allow with deploy/check/flows.txt."""

import pathlib

from manifests import get, selects

FLOWS = pathlib.Path(__file__).resolve().parents[1] / "flows.txt"
# Peers outside the namespace, with the labels of their namespace and pod.
OUTSIDE = {
    "anyone": ({}, {}),
    "kube-system": ({"kubernetes.io/metadata.name": "kube-system"}, {}),
    "monitoring": ({"kubernetes.io/metadata.name": "monitoring"}, {}),
    "dns": ({"kubernetes.io/metadata.name": "kube-system"}, {"k8s-app": "kube-dns"}),
}
# The tested ports outside the namespace: SMTP, DNS, HTTP, HTTPS, PostgreSQL, the API of Kubernetes.
OUTSIDE_PORTS = (25, 53, 80, 443, 5432, 6443)
# Ports between RabbitMQ's nodes. No container declares them.
INTERNAL_PORTS = (25672, 35672)


def rules_allow(rules, peer_key, port, peer_pod, peer_outside):
    for rule in rules:
        required = rule.get("ports")
        if required and not any(entry["port"] <= port <= entry.get("endPort", entry["port"]) for entry in required):
            continue
        peers = rule.get(peer_key)
        if not peers:
            return True
        for peer in peers:
            if "ipBlock" in peer:
                if peer_outside == "anyone":
                    return True
            elif peer_pod is not None:
                if "namespaceSelector" not in peer and selects(peer.get("podSelector"), peer_pod.labels):
                    return True
            elif "namespaceSelector" in peer:
                namespace, pod = OUTSIDE[peer_outside]
                if selects(peer["namespaceSelector"], namespace) and selects(peer.get("podSelector"), pod):
                    return True
    return False


def allows(policies, direction, pod, port, peer_pod, peer_outside):
    """Whether the policies of one side allow the traffic. Without a policy for the pod, everything is allowed."""
    applicable = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    rules, peer = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return not applicable or any(
        rules_allow(get(spec, rules, default=[]), peer, port, peer_pod, peer_outside) for spec in applicable
    )


def flows(manifests):
    policies = manifests.of("NetworkPolicy")
    # Several workloads with the same role (the two CronJobs for dead letters) count as one.
    pods = list({pod.role: pod for pod in manifests.pods}.values())
    found = set()
    for target in pods:
        own = {port["containerPort"] for port in target.ports}
        if target.made_by_operator:
            own |= set(INTERNAL_PORTS)
        for port in own:
            for source in pods:
                if allows(policies, "Egress", source, port, target, None) and allows(
                    policies, "Ingress", target, port, source, None
                ):
                    found.add(f"{source.role} -> {target.role}:{port}")
            # "anyone" includes the namespaces.
            for outside in ("anyone", "kube-system", "monitoring"):
                if allows(policies, "Ingress", target, port, None, outside):
                    found.add(f"{outside} -> {target.role}:{port}")
                    break
    for source in pods:
        for outside, ports in (("anyone", OUTSIDE_PORTS), ("dns", (53,))):
            for port in ports:
                if allows(policies, "Egress", source, port, None, outside):
                    found.add(f"{source.role} -> {outside}:{port}")
    return found


def expected(name):
    """The flows for a rendering. `local+options` also has the flows of `local`, `all` and `all+options`."""
    overlay, _, options = name.partition("+")
    words = {"all", overlay} | ({f"all+{options}", name} if options else set())
    required = set()
    for line in FLOWS.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line:
            word, _, flow = line.partition(" ")
            if word in words:
                required.add(flow.strip())
    return required


def check(manifests):
    if not manifests.complete:
        return
    found, required = flows(manifests), expected(manifests.name)
    for flow in sorted(required - found):
        yield f"NetworkPolicies: must allow this traffic: {flow}"
    for flow in sorted(found - required):
        yield f"NetworkPolicies: allow traffic that is not in deploy/check/flows.txt: {flow}"
