"""Makes the templates of the Helm chart from the manifests of kustomize. deploy/lib/generate writes them.

A template is a manifest with expressions in place of some values, so nobody keeps a second copy. A rule that finds nothing
is an error: the manifest has changed, and the rule must, too.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE, LOCAL, AKS = "deploy/base", "deploy/overlays/local", "deploy/overlays/aks/cluster"
PARTS = f"{BASE}/components"

CLUSTER = 'eq .Values.rabbitmq.kind "cluster"'
VAULT = ".Values.keyVault.name"


def put(old, new):
    """Replaces a text."""
    return re.compile(re.escape(old)), lambda match: new


def indented(lines, indent):
    return "".join(f"{indent}{line}\n" for line in lines)


def after(line, *lines, deeper=0):
    """Adds lines after each such line, with its indentation."""
    pattern = re.compile(rf"^( *){re.escape(line)}\n", re.M)
    return pattern, lambda match: match[0] + indented(lines, match[1] + " " * deeper)


def only(condition, first, *instead):
    """Keeps a line, with the deeper lines below it, only under a condition. Else other lines are there."""
    pattern = re.compile(rf"^( *){re.escape(first)}.*\n(?:\1  .*\n)*", re.M)

    def replace(match):
        otherwise = match[1] + "{{- else }}\n" + indented(instead, match[1]) if instead else ""
        return f"{match[1]}{{{{- if {condition} }}}}\n{match[0]}{otherwise}{match[1]}{{{{- end }}}}\n"

    return pattern, replace


def resources(of):
    """Requests and limits are a value."""
    pattern = re.compile(r"^( *)resources:\n\1  requests: \{ cpu.*\n(?:\1  .*\n)+", re.M)
    return pattern, lambda match: f"{match[1]}resources:\n{{{{ toYaml .Values.{of}.resources | indent {len(match[1]) + 2} }}}}\n"


def storage(of):
    """The size of a claim is a value, and it can have a storage class."""
    size = re.compile(r"storage: \w+ \}"), lambda match: f"storage: {{{{ .Values.{of}.storage }}}} }}"
    modes = re.compile(r"^( *)accessModes: .*\n", re.M)
    lines = (f"{{{{- with .Values.{of}.storageClass }}}}", "storageClassName: {{ . }}", "{{- end }}")
    return [size, (modes, lambda match: match[0] + indented(lines, match[1]))]


def vault(name):
    """With a vault, the secrets come from a SecretProviderClass."""
    pattern = re.compile(r"^( *)- name: secrets\n((?:\1  .*\n)+)", re.M)

    def replace(match):
        lines = (
            f"{{{{- if {VAULT} }}}}",
            "csi:",
            "  driver: secrets-store.csi.k8s.io",
            "  readOnly: true",
            f"  volumeAttributes: {{ secretProviderClass: {name} }}",
            "{{- else }}",
        )
        indent = match[1] + "  "
        return f"{match[1]}- name: secrets\n{indented(lines, indent)}{match[2]}{indent}{{{{- end }}}}\n"

    return pattern, replace


MOUNT = "- { name: secrets, mountPath: /secrets, readOnly: true }"
# With a RabbitmqCluster, the broker's URL comes from the Secret of its operator.
BROKER = [
    put("value: /secrets/broker-url", 'value: {{ include "contacts.brokerUrlFile" . }}'),
    only(f"not ({CLUSTER})", "- { key: broker-url, path: broker-url }"),
    after(MOUNT, f"{{{{- if {CLUSTER} }}}}", "- { name: broker, mountPath: /broker, readOnly: true }", "{{- end }}"),
    after(
        "volumes:",
        f"{{{{- if {CLUSTER} }}}}",
        "- name: broker",
        "  secret:",
        "    secretName: rabbitmq-default-user",
        "    items:",
        "      - { key: connection_string, path: connection_string }",
        "{{- end }}",
        deeper=2,
    ),
]
LOGS = [
    after("env:", "{{- if .Values.logVolume.enabled }}", "- { name: CONTACTS__LOG__DIR, value: /logs }", "{{- end }}", deeper=2),
    after(MOUNT, "{{- if .Values.logVolume.enabled }}", "- { name: logs, mountPath: /logs }", "{{- end }}"),
    after(
        "volumes:",
        "{{- if .Values.logVolume.enabled }}",
        "- name: logs",
        "  persistentVolumeClaim: { claimName: contacts-logs }",
        "{{- end }}",
        deeper=2,
    ),
]


def inside(kind, port):
    """Traffic to a service outside the cluster has no pod to select, so then the policy allows its port at any address."""
    pattern = re.compile(rf"^( *)- to:\n((?:.*\n){{2}}) *ports:\n( *- \{{ protocol: TCP, port: {port} \}}\n)", re.M)

    def replace(match):
        indent = match[1] + "  "
        return (
            f"{match[1]}-\n{indent}{{{{- if ne .Values.{kind}.kind \"none\" }}}}\n{indent}to:\n{match[2]}"
            f"{indent}{{{{- end }}}}\n{indent}ports:\n{match[3]}"
        )

    return pattern, replace


def service(of):
    """The type, the allowed addresses and the annotations of a Service are values."""
    pattern = re.compile(r"^(kind: Service\nmetadata:\n(?:  .*\n)+)spec:\n", re.M)
    annotations = f"{{{{- with .Values.{of}.service.annotations }}}}", "annotations: {{ toJson . }}", "{{- end }}"
    fields = f'spec:\n  {{{{- include "contacts.service" .Values.{of}.service | nindent 2 }}}}\n'
    return pattern, lambda match: match[1] + indented(annotations, "  ") + fields


def image(tag=""):
    """The project's own image."""
    return re.compile(r"image: contacts$", re.M), lambda match: f'image: {{{{ include "contacts.image" (list . {tag or chr(34) * 2}) }}}}'


# Template, its sources, its condition, the checksum of its settings, its rules. A source may name one kind.
TEMPLATES = [
    ("roles/service-account", [f"{BASE}/service-account.yaml"], None, None, []),
    (
        "roles/producer",
        [f"{BASE}/producer.yaml"],
        None,
        "contacts",
        [
            image(".Values.producer.tag"),
            vault("contacts-producer"),
            resources("producer"),
            put("minReplicas: 2", "minReplicas: {{ .Values.producer.minReplicas }}"),
            put("maxReplicas: 6", "maxReplicas: {{ .Values.producer.maxReplicas }}"),
            put("averageValue: 500m", "averageValue: {{ .Values.producer.cpuPerPod }}"),
            service("producer"),
            *BROKER,
            *LOGS,
        ],
    ),
    (
        "roles/consumer",
        [f"{BASE}/consumer.yaml"],
        None,
        "contacts",
        [
            image(),
            vault("contacts"),
            resources("consumer"),
            only("not .Values.keda.enabled", "replicas: 2"),
            put("replicas: 2", "replicas: {{ .Values.consumer.replicas }}"),
            *BROKER,
            *LOGS,
        ],
    ),
    (
        "roles/keda",
        [f"{AKS}/scaled-object.yaml"],
        ".Values.keda.enabled",
        None,
        [
            put("minReplicaCount: 2", "minReplicaCount: {{ .Values.keda.minReplicas }}"),
            put("maxReplicaCount: 6", "maxReplicaCount: {{ .Values.keda.maxReplicas }}"),
            put("replicas: 2 }", "replicas: {{ .Values.keda.minReplicas }} }"),
            put('value: "1000"', "value: {{ .Values.keda.messagesPerPod | quote }}"),
            put("rabbitmq.contacts.svc", "rabbitmq.{{ .Release.Namespace }}.svc"),
        ],
    ),
    (
        "roles/console",
        [f"{PARTS}/console/console.yaml", f"{PARTS}/console/network.yaml"],
        ".Values.console.enabled",
        "contacts",
        [image(), vault("contacts"), resources("console"), *BROKER, *LOGS],
    ),
    ("roles/log-volume", [f"{PARTS}/log-volume/claim.yaml"], ".Values.logVolume.enabled", None, storage("logVolume")),
    (
        "jobs/migrate",
        [f"{BASE}/migrate.yaml"],
        None,
        None,
        [
            image(),
            vault("contacts"),
            # A Job cannot be changed, so each release has its own.
            put("name: contacts-migrate", "name: contacts-migrate-{{ .Release.Revision }}"),
        ],
    ),
    (
        "jobs/prune",
        [f"{BASE}/prune.yaml"],
        None,
        None,
        [
            image(),
            vault("contacts"),
            put('"30 3 * * *"', "{{ .Values.prune.schedule | quote }}"),
            put("America/Sao_Paulo", "{{ .Values.timeZone }}"),
            put("90d]", "{{ .Values.prune.olderThan }}]"),
        ],
    ),
    ("jobs/dlq-drain", ["deploy/dlq-drain/by-hand.yaml"], None, None, [image(), vault("contacts"), *BROKER]),
    (
        "jobs/scheduled-drain",
        ["deploy/dlq-drain/scheduled.yaml"],
        ".Values.scheduledDrain.enabled",
        None,
        [
            image(),
            vault("contacts"),
            put('"0 3 * * *"', "{{ .Values.scheduledDrain.schedule | quote }}"),
            put("America/Sao_Paulo", "{{ .Values.timeZone }}"),
            *storage("scheduledDrain"),
            *BROKER,
        ],
    ),
    ("network", [f"{BASE}/network.yaml"], None, None, [inside("rabbitmq", 5672), inside("postgres", 5432)]),
    (
        "monitoring/prometheus",
        ["deploy/prometheus/kubernetes.yaml"],
        ".Values.prometheus.enabled",
        "prometheus",
        [
            resources("prometheus"),
            *storage("prometheus"),
            put(
                "{ kind: ServiceAccount, name: prometheus }",
                "{ kind: ServiceAccount, name: prometheus, namespace: {{ .Release.Namespace }} }",
            ),
        ],
    ),
    (
        "monitoring/grafana",
        ["deploy/grafana/kubernetes.yaml", f"{LOCAL}/outside/network.yaml"],
        ".Values.grafana.enabled",
        "grafana",
        [
            vault("grafana"),
            resources("grafana"),
            *storage("grafana"),
            put(
                "value: /secrets/admin-password",
                f'value: /secrets/{{{{ if {VAULT} }}}}grafana-{{{{ end }}}}admin-password',
            ),
            put("port: http }\n            ", "port: http{{ if .Values.grafana.tls }}, scheme: HTTPS{{ end }} }\n            "),
            after(
                "env:",
                "{{- if .Values.grafana.tls }}",
                '- { name: GF_SECURITY_COOKIE_SECURE, value: "true" }',
                "- { name: GF_SERVER_PROTOCOL, value: https }",
                "- { name: GF_SERVER_CERT_FILE, value: /secrets/grafana-tls }",
                "- { name: GF_SERVER_CERT_KEY, value: /secrets/grafana-tls }",
                "{{- end }}",
                deeper=2,
            ),
            only(
                "not .Values.grafana.tls",
                "- { name: http, port: 3000, targetPort: http }",
                "- { name: https, port: 443, targetPort: http }",
            ),
            service("grafana"),
        ],
    ),
    (
        "monitoring/postgres-exporter",
        [f"{PARTS}/postgres-exporter/postgres-exporter.yaml"],
        ".Values.postgresExporter.enabled",
        None,
        [
            vault("postgres-exporter"),
            put("DATA_SOURCE_URI, value: the-overlay-says", "DATA_SOURCE_URI, value: {{ .Values.postgresExporter.uri | quote }}"),
            put("DATA_SOURCE_USER, value: the-overlay-says", "DATA_SOURCE_USER, value: {{ .Values.postgresExporter.user | quote }}"),
            put("value: /secrets/password", f"value: /secrets/{{{{ if {VAULT} }}}}database-{{{{ end }}}}password"),
            inside("postgres", 5432),
        ],
    ),
    (
        "monitoring/pod-monitors",
        [f"{PARTS}/prometheus-operator/pod-monitors.yaml"],
        ".Values.prometheusOperator.enabled",
        None,
        [put('"contacts.labels" . }}', '"contacts.labels" . }}{{ include "contacts.operatorLabels" . }}')],
    ),
    (
        "monitoring/operator-network",
        [f"{PARTS}/prometheus-operator/network.yaml"],
        ".Values.prometheusOperator.enabled",
        None,
        [put("metadata.name: monitoring }", "metadata.name: {{ .Values.prometheusOperator.namespace }} }")],
    ),
    (
        "services/rabbitmq",
        [f"{LOCAL}/rabbitmq.yaml", f"{LOCAL}/network.yaml rabbitmq"],
        'eq .Values.rabbitmq.kind "pod"',
        "rabbitmq",
        [resources("rabbitmq"), *storage("rabbitmq")],
    ),
    (
        "services/rabbitmq-cluster",
        [f"{AKS}/rabbitmq.yaml", f"{AKS}/network.yaml rabbitmq"],
        CLUSTER,
        None,
        [
            put("storage: 32Gi", "storage: {{ .Values.rabbitmq.storage }}"),
            only(".Values.rabbitmq.storageClass", "storageClassName: managed-csi-premium"),
            put("managed-csi-premium", "{{ .Values.rabbitmq.storageClass }}"),
            resources("rabbitmq"),
            put("metadata.name: kube-system }", "metadata.name: {{ .Values.keda.namespace }} }"),
        ],
    ),
    (
        "services/postgres",
        [f"{LOCAL}/postgres.yaml", f"{LOCAL}/network.yaml postgres"],
        'eq .Values.postgres.kind "pod"',
        None,
        [resources("postgres"), *storage("postgres")],
    ),
    (
        "services/vault",
        [f"{AKS}/secret-provider-classes.yaml"],
        VAULT,
        None,
        [
            put("keyvaultName: fill-in", "keyvaultName: {{ .Values.keyVault.name }}"),
            put("tenantId: fill-in", "tenantId: {{ .Values.keyVault.tenantId }}"),
            put("clientID: fill-in", "clientID: {{ .Values.keyVault.clientId }}"),
        ],
    ),
]
# The condition of a single object, by template and name.
CONDITIONS = {
    ("monitoring/grafana", "anyone-to-grafana"): 'ne .Values.grafana.service.type "ClusterIP"',
    ("services/vault", "postgres-exporter"): ".Values.postgresExporter.enabled",
    ("services/vault", "grafana"): ".Values.grafana.enabled",
}


def documents(source):
    """The objects of a file as text, with their comments. `FILE NAME` is one object."""
    path, _, name = source.partition(" ")
    texts = re.split(r"^---\n", (ROOT / path).read_text(), flags=re.M)
    return [text for text in texts if not name or f"\n  name: {name}\n" in text]


def common(template, text, checksum):
    """What every object gets: namespace, labels, and its condition."""
    text = re.sub(
        r"^  labels: \{ (.*) \}$",
        r'  namespace: {{ .Release.Namespace }}' + "\n" + r'  labels: { \1, {{ include "contacts.labels" . }} }',
        text,
        flags=re.M,
    )
    if re.search(r"^kind: (PersistentVolumeClaim|RabbitmqCluster)$", text, re.M):
        # Otherwise `helm uninstall` or a disabled part would delete the data.
        text = re.sub(r"^(  namespace: .*\n)", r"\1  annotations: { helm.sh/resource-policy: keep }\n", text, flags=re.M)
    if checksum:
        settings = f'{{{{ include (print $.Template.BasePath "/settings/{checksum}.yaml") . | sha256sum | quote }}}}'
        text = re.sub(
            r"^(  template:\n    metadata:\n)", rf"\1      annotations: {{ checksum/settings: {settings} }}" + "\n", text, flags=re.M
        )
    name = re.search(r"^  name: (\S+)$", text, re.M)[1]
    conditions = [".Values.networkPolicies"] if "\nkind: NetworkPolicy\n" in text else []
    conditions += [CONDITIONS[template, name]] if (template, name) in CONDITIONS else []
    for condition in conditions:
        text = f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"
    return text


def render(template, sources, condition, checksum, rules):
    text = "---\n".join(common(template, document, checksum) for source in sources for document in documents(source))
    for pattern, replacement in rules:
        text, count = pattern.subn(replacement, text)
        if not count:
            raise SystemExit(f"deploy/helm/templates.py: {template}: nothing matches {pattern.pattern!r}")
    if condition:
        text = f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"
    origin = ", ".join(dict.fromkeys(source.split()[0] for source in sources))
    return f"{{{{- /* Made by deploy/lib/generate from {origin}. Do not edit. */}}}}\n{text}"


def files():
    for template, *parts in TEMPLATES:
        yield f"deploy/helm/contacts/templates/{template}.yaml", render(template, *parts)
