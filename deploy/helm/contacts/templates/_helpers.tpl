{{- /* The labels that every object gets, besides its own. */}}
{{- define "contacts.labels" -}}
app.kubernetes.io/part-of: contacts, app.kubernetes.io/managed-by: {{ .Release.Service }}, helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The labels by which the Prometheus operator finds its objects. */}}
{{- define "contacts.operatorLabels" -}}
{{- range $name, $value := .Values.prometheusOperator.labels }}, {{ $name }}: {{ $value | quote }}{{ end }}
{{- end }}

{{- /* The image of the program: list of the root and a tag, which may be empty. */}}
{{- define "contacts.image" -}}
{{- $root := index . 0 }}
{{- $root.Values.image.repository }}:{{ index . 1 | default $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{- define "contacts.brokerUrlFile" -}}
{{- if eq .Values.rabbitmq.kind "cluster" }}/broker/connection_string{{ else }}/secrets/broker-url{{ end }}
{{- end }}

{{- /* The fields of a Service that make it reachable from outside. */}}
{{- define "contacts.service" -}}
{{- if ne .type "ClusterIP" }}
type: {{ .type }}
{{- end }}
{{- with .sourceRanges }}
loadBalancerSourceRanges: {{ toJson . }}
{{- end }}
{{- end }}

{{- /* A Secret of .Values.secrets, if it has it: list of the root, its name, and the label of its owner. */}}
{{- define "contacts.secret" -}}
{{- $root := index . 0 }}
{{- with get $root.Values.secrets (index . 1) }}
---
apiVersion: v1
kind: Secret
type: Opaque
metadata:
  name: {{ index $ 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels: { app.kubernetes.io/name: {{ index $ 2 }}, app.kubernetes.io/component: settings, {{ include "contacts.labels" $root }} }
data:
  {{- range $key, $value := . }}
  {{ $key }}: {{ $value | b64enc }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* A ConfigMap of files: list of the root, its name, the label of its owner, its component, and pairs of key and file. */}}
{{- define "contacts.files" -}}
{{- $root := index . 0 }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    app.kubernetes.io/name: {{ index . 2 }}
    app.kubernetes.io/component: {{ index . 3 }}
    {{- range splitList ", " (include "contacts.labels" $root) }}
    {{ . }}
    {{- end }}
    {{- if and (eq (index . 3) "dashboards") $root.Values.dashboards.sidecar }}
    grafana_dashboard: "1"
    {{- end }}
data:
  {{- range $key, $file := index . 4 }}
  {{ $key }}: |
{{ $root.Files.Get (print "files/" $file) | indent 4 }}
  {{- end }}
{{- end }}
