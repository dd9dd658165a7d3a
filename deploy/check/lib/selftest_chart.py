"""Tests the checks of the Helm chart: each case puts one error into a copy of the chart."""

import pathlib
import re
import shutil
import tempfile

import chart


def cases(root):
    """Errors in the files of the chart: file, text, another text, and the part of chart.py that must report it."""
    for file, old, new, part, message in (
        (
            "values.yaml",
            "  olderThan: 90d",
            "  olderThan: 90d\n  # More.\n  more: 1",
            chart.schema,
            "prune.more is not in values.schema",
        ),
        (
            "values.yaml",
            "  # How old they must be.\n  olderThan: 90d\n",
            "",
            chart.schema,
            "prune.olderThan is not in values.yaml",
        ),
        ("values.yaml", "minReplicas: 2", "minReplicas: two", chart.schema, "values.yaml: .*two"),
        (
            "values.schema.json",
            '"networkPolicies": { "type": "boolean" }',
            '"networkPolicies": {}',
            chart.schema,
            "accepts 'a text' for networkPolicies",
        ),
        (
            "values.schema.json",
            '"additionalProperties": false',
            '"additionalProperties": true',
            chart.schema,
            "accepts an unknown value",
        ),
        (
            "values.schema.json",
            '"additionalProperties": false',
            '"additionalProperties": true',
            chart.refused,
            "minReplica",
        ),
        (
            "templates/checks.yaml",
            "ne .Values.rabbitmq.kind",
            "eq .Values.rabbitmq.kind",
            chart.refused,
            "keda.enabled needs",
        ),
        ("Chart.yaml", "appVersion: 0", "appVersion: 9", chart.lint, "Chart.yaml: appVersion is 9"),
        ("templates/NOTES.txt", "{{- end }}", "", chart.lint, "helm lint"),
        ("templates/monitoring/grafana.yaml", "policy: keep", "policy: x", chart.alone, "PersistentVolumeClaim/grafana: .*delete"),
        ("templates/services/rabbitmq-cluster.yaml", "policy: keep", "policy: x", chart.alone, "RabbitmqCluster.*delete"),
        ("templates/tests/api.yaml", "--email", "--e-mail", chart.alone, "should fail only without a service"),
        ("templates/tests/services.yaml", "[dlq-drain, list,", "[dlq-drain, lst,", chart.alone, "does not accept"),
        (
            "templates/settings/contacts.yaml",
            "merge (deepCopy .Values.settings) $settings",
            "$settings",
            chart.alone,
            "must be added",
        ),
    ):
        with tempfile.TemporaryDirectory() as folder:
            copied = pathlib.Path(folder, "deploy/helm/contacts")
            shutil.copytree(root / "deploy", copied.parents[1], symlinks=True)
            shutil.copytree(root / "dashboards", pathlib.Path(folder, "dashboards"))
            text = (copied / file).read_text()
            (copied / file).write_text(text.replace(old, new))
            original = chart.CHART, chart.readme.ROOT
            chart.CHART, chart.readme.ROOT = copied, pathlib.Path(folder)
            result = " ".join(part())
            chart.CHART, chart.readme.ROOT = original
            name = f"{file}: {new.strip()!r} instead of {old.strip()!r}"
            problem = None if old in text and re.search(message, result, re.DOTALL) else f"is not reported: {result!r}"
            yield name, problem
