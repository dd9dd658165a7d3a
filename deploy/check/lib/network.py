"""What all NetworkPolicies together let through, held against a list: deploy/check/flows.txt."""

import pathlib

from manifests import get, selects

FLOWS = pathlib.Path(__file__).resolve().parents[1] / "flows.txt"
# Whoever is not a pod of the namespace, with the labels by which a policy may mean them.
OUTSIDE = {
    "anyone": ({}, {}),
    "kube-system": ({"kubernetes.io/metadata.name": "kube-system"}, {}),
    "dns": ({"kubernetes.io/metadata.name": "kube-system"}, {"k8s-app": "kube-dns"}),
}
# What of the outside is tried: names, web, the API of Kubernetes, PostgreSQL, mail.
OUTSIDE_PORTS = (25, 53, 80, 443, 5432, 6443)
# Ports of RabbitMQ's nodes among themselves, which no container declares.
NODES = (25672, 35672)


def lets(rules, peer_key, port, peer_pod, peer_outside):
    for rule in rules:
        wanted = rule.get("ports")
        if wanted and not any(entry["port"] <= port <= entry.get("endPort", entry["port"]) for entry in wanted):
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


def passes(policies, direction, pod, port, peer_pod, peer_outside):
    """Whether the policies of one side let it through; a pod that no policy is for is open."""
    chosen = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    rules, peer = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return not chosen or any(lets(get(spec, rules, default=[]), peer, port, peer_pod, peer_outside) for spec in chosen)


def flows(world):
    policies = world.of("NetworkPolicy")
    # Several workloads of one role (the two ways of treating dead letters) are one.
    pods = list({pod.role: pod for pod in world.pods}.values())
    found = set()
    for target in pods:
        own = {port["containerPort"] for port in target.ports} | (set(NODES) if target.made_by_operator else set())
        for port in own:
            for source in pods:
                if passes(policies, "Egress", source, port, target, None) and passes(
                    policies, "Ingress", target, port, source, None
                ):
                    found.add(f"{source.role} -> {target.role}:{port}")
            # Whoever is in kube-system is anyone, too.
            for outside in ("anyone", "kube-system"):
                if passes(policies, "Ingress", target, port, None, outside):
                    found.add(f"{outside} -> {target.role}:{port}")
                    break
    for source in pods:
        for outside, tried in (("anyone", OUTSIDE_PORTS), ("dns", (53,))):
            for port in tried:
                if passes(policies, "Egress", source, port, None, outside):
                    found.add(f"{source.role} -> {outside}:{port}")
    return found


def expected(name):
    wanted = set()
    for line in FLOWS.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line:
            where, _, flow = line.partition(" ")
            if where in ("all", name):
                wanted.add(flow.strip())
    return wanted


def check(world):
    if not world.complete:
        return
    found, wanted = flows(world), expected(world.name.split("+")[0])
    for flow in sorted(wanted - found):
        yield f"NetworkPolicies: keep from passing what must pass: {flow}"
    for flow in sorted(found - wanted):
        yield f"NetworkPolicies: let pass what deploy/check/flows.txt does not list: {flow}"
