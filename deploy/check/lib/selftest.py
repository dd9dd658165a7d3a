"""Tests the checks: each case puts one error into the rendered manifests, and the check must report it."""

import copy
import pathlib
import re
import shutil
import sys
import tempfile

import chart
import main
import network
import external_tools
import program
import schemas
import selftest_chart
import values
import monitoring
import wiring
from manifests import NAME, ROOT, Manifests, get

CASES = []


def case(check, message, rendering="local"):
    """Registers a function that puts an error into a rendering. The check must report a matching problem."""

    def register(function):
        CASES.append((function.__name__.replace("_", " ").strip(), check, message, rendering, function))
        return function

    return register


def pod(manifests, kind, name):
    obj = manifests.find(kind, name)
    return get(obj, "spec", *(("jobTemplate", "spec") if kind == "CronJob" else ()), "template", "spec")


def container(manifests, kind="Deployment", name="contacts-producer"):
    return pod(manifests, kind, name)["containers"][0]


def contacts_settings(manifests):
    return next(obj["data"] for obj in manifests.of("ConfigMap") if "CONTACTS__ADMIN__LISTEN" in obj["data"])


def named(objects, name):
    return next(obj for obj in objects if obj["name"] == name)


# ---- schemas --------------------------------------------------------------------------------------------------------


@case(external_tools.kubectl, "quantities must match")
def a_quantity_with_an_unknown_unit(manifests):
    container(manifests)["resources"]["limits"]["memory"] = "128Zi"


@case(external_tools.kubectl, "unable|cannot unmarshal|json:")
def a_text_instead_of_a_number(manifests):
    manifests.find("Deployment", "contacts-consumer")["spec"]["replicas"] = "two"


@case(schemas.check, "Additional properties are not allowed .*livenesProbe")
def a_misspelled_field(manifests):
    container(manifests)["livenesProbe"] = container(manifests).pop("livenessProbe")


@case(schemas.check, "has no kind Deploymnet")
def an_unknown_kind(manifests):
    manifests.find("Deployment", "grafana")["kind"] = "Deploymnet"


@case(schemas.check, "has no kind PodSecurityPolicy")
def a_removed_kind(manifests):
    manifests.objects.append({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "x"}})


@case(schemas.check, "RabbitmqCluster.*replica", "aks")
def a_misspelled_field_of_rabbitmqcluster(manifests):
    manifests.of("RabbitmqCluster")[0]["spec"]["replica"] = manifests.of("RabbitmqCluster")[0]["spec"].pop("replicas")


@case(schemas.check, "RabbitmqCluster.*runAsNonRot", "aks")
def a_misspelled_kubernetes_field_in_rabbitmqcluster(manifests):
    override = manifests.of("RabbitmqCluster")[0]["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"]
    override["securityContext"]["runAsNonRot"] = True


@case(schemas.check, "ScaledObject.*minReplicas", "aks")
def a_misspelled_field_of_scaledobject(manifests):
    manifests.of("ScaledObject")[0]["spec"]["minReplicas"] = 2


@case(schemas.check, "excludeUnacknowledged", "aks")
def a_scaler_that_ignores_unacknowledged_messages(manifests):
    manifests.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["excludeUnacknowledged"] = "true"


@case(schemas.check, "protocol", "aks")
def a_scaler_over_amqp_which_cannot_count_unacknowledged_messages(manifests):
    manifests.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["protocol"] = "amqp"


@case(schemas.check, "TriggerAuthentication.*secretTarget", "aks")
def a_misspelled_field_of_triggerauthentication(manifests):
    manifests.of("TriggerAuthentication")[0]["spec"]["secretTarget"] = []


@case(schemas.check, "tenantID", "aks")
def a_misspelled_parameter_of_the_vault(manifests):
    parameters = manifests.of("SecretProviderClass")[0]["spec"]["parameters"]
    parameters["tenantID"] = parameters.pop("tenantId")


@case(schemas.check, "objectTyp", "aks")
def a_misspelled_field_in_the_objects_of_the_vault(manifests):
    parameters = manifests.of("SecretProviderClass")[0]["spec"]["parameters"]
    parameters["objects"] = parameters["objects"].replace("objectType", "objectTyp")


# ---- references -----------------------------------------------------------------------------------------------------


@case(wiring.selectors, "Service/contacts-producer: its selector matches no pod")
def a_service_without_pods(manifests):
    manifests.find("Service", "contacts-producer")["spec"]["selector"][NAME] = "contact"


@case(wiring.selectors, "Service/contacts-producer: targetPort web is not a port")
def a_service_with_an_unknown_port(manifests):
    manifests.find("Service", "contacts-producer")["spec"]["ports"][0]["targetPort"] = "web"


@case(wiring.selectors, "Deployment/contacts-consumer: its selector does not match its own pods")
def a_deployment_without_its_pods(manifests):
    manifests.find("Deployment", "contacts-consumer")["spec"]["template"]["metadata"]["labels"][
        "app.kubernetes.io/component"
    ] = "worker"


@case(wiring.selectors, "also matches the pods of Deployment/contacts-consumer")
def a_deployment_with_the_pods_of_another(manifests):
    del manifests.find("Deployment", "contacts-producer")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]


@case(wiring.selectors, "PodDisruptionBudget/contacts-consumer")
def a_disruption_budget_without_pods(manifests):
    manifests.find("PodDisruptionBudget", "contacts-consumer")["spec"]["selector"]["matchLabels"][NAME] = "consumer"


@case(wiring.selectors, "its target Deployment contacts-api does not exist")
def an_autoscaler_without_a_target(manifests):
    manifests.of("HorizontalPodAutoscaler")[0]["spec"]["scaleTargetRef"]["name"] = "contacts-api"


@case(wiring.selectors, "its target Deployment contacts-worker does not exist", "aks")
def a_scaledobject_without_a_target(manifests):
    manifests.of("ScaledObject")[0]["spec"]["scaleTargetRef"]["name"] = "contacts-worker"


@case(wiring.selectors, "has spec.replicas", "aks")
def replicas_in_spite_of_a_scaler(manifests):
    manifests.find("Deployment", "contacts-consumer")["spec"]["replicas"] = 2


@case(wiring.selectors, "NetworkPolicy/prometheus: its podSelector matches no pod")
def a_network_policy_without_pods(manifests):
    manifests.find("NetworkPolicy", "prometheus")["spec"]["podSelector"]["matchLabels"][NAME] = "prom"


@case(wiring.selectors, "allows port 8088")
def a_network_policy_with_an_unknown_port(manifests):
    manifests.find("NetworkPolicy", "anyone-to-producer")["spec"]["ingress"][0]["ports"][0]["port"] = 8088


@case(wiring.selectors, "a topologySpreadConstraint does not match its own pods")
def a_spread_constraint_for_other_pods(manifests):
    pod(manifests, "Deployment", "contacts-producer")["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"][
        NAME
    ] = "x"


@case(wiring.ports, "livenessProbe of producer uses port adm")
def a_probe_of_an_unknown_port(manifests):
    container(manifests)["livenessProbe"]["httpGet"]["port"] = "adm"


@case(wiring.ports, "each port must have a unique name")
def a_port_without_a_name(manifests):
    del container(manifests)["ports"][0]["name"]


@case(wiring.ports, "needs a livenessProbe and a readinessProbe")
def a_container_with_ports_without_a_probe(manifests):
    del container(manifests, name="prometheus")["readinessProbe"]


@case(wiring.references, "has no key broker_url")
def a_missing_key_of_a_secret(manifests):
    pod(manifests, "Deployment", "contacts-consumer")["volumes"][0]["secret"]["items"][0]["key"] = "broker_url"


@case(wiring.references, "ConfigMap nothing does not exist")
def a_missing_configmap(manifests):
    container(manifests, "Job", "contacts-migrate")["envFrom"][0]["configMapRef"]["name"] = "nothing"


@case(wiring.references, "its key spare is not used")
def an_unused_key_of_a_secret(manifests):
    next(obj for obj in manifests.of("Secret") if "api-keys" in obj["data"])["data"]["spare"] = "eA=="


@case(wiring.references, "no pod uses api-keys", "aks")
def an_unused_secret_of_the_vault(manifests):
    manifests.find("SecretProviderClass", "contacts")["spec"]["parameters"]["objects"] += (
        "  - |\n    objectName: api-keys\n    objectType: secret\n"
    )


@case(wiring.references, "is /secrets/database_url, but no volume has this file")
def a_file_that_is_not_mounted(manifests):
    named(container(manifests)["env"], "CONTACTS__DATABASE__URL_FILE")["value"] = "/secrets/database_url"


@case(wiring.references, "SecretProviderClass vault does not exist", "aks")
def a_missing_secretproviderclass(manifests):
    pod(manifests, "Deployment", "grafana")["volumes"][0]["csi"]["volumeAttributes"]["secretProviderClass"] = "vault"


@case(wiring.references, "Secret rabbitmq-default-user with the key user does not exist", "aks")
def a_key_that_rabbitmqs_operator_does_not_create(manifests):
    manifests.of("TriggerAuthentication")[0]["spec"]["secretTargetRef"][0]["key"] = "user"


@case(wiring.references, "ServiceAccount robot does not exist")
def a_missing_service_account(manifests):
    pod(manifests, "CronJob", "contacts-prune")["serviceAccountName"] = "robot"


@case(wiring.references, "only Prometheus may have rights")
def unnecessary_rights(manifests):
    manifests.of("Role")[0]["rules"][0]["resources"].append("secrets")


@case(wiring.references, "PersistentVolumeClaim prom does not exist")
def a_missing_claim(manifests):
    named(pod(manifests, "Deployment", "prometheus")["volumes"], "data")["persistentVolumeClaim"]["claimName"] = "prom"


@case(wiring.hosts, "uses prometheus:9091")
def a_host_with_a_wrong_port(manifests):
    named(container(manifests, name="grafana")["env"], "PROMETHEUS_URL")["value"] = "http://prometheus:9091"


@case(wiring.hosts, "uses the host rabbit.contacts.svc", "aks")
def an_unknown_host(manifests):
    manifests.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["host"] = "http://rabbit.contacts.svc:15672/"


@case(network.check, "must allow this traffic: producer -> postgres:5432")
def denied_traffic(manifests):
    manifests.find("NetworkPolicy", "contacts-to-postgres")["spec"]["podSelector"]["matchExpressions"][0]["values"].remove(
        "producer"
    )


@case(network.check, "is not in deploy/check/flows.txt: anyone -> postgres:5432")
def allowed_traffic(manifests):
    manifests.find("NetworkPolicy", "postgres")["spec"]["ingress"].append({"ports": [{"protocol": "TCP", "port": 5432}]})


@case(network.check, "is not in deploy/check/flows.txt: grafana -> postgres:5432")
def no_default_deny(manifests):
    manifests.objects.remove(manifests.find("NetworkPolicy", "deny-all"))
    manifests.objects.remove(manifests.find("NetworkPolicy", "postgres"))
    manifests.objects.remove(manifests.find("NetworkPolicy", "grafana"))
    manifests.objects.remove(manifests.find("NetworkPolicy", "all-to-dns"))


# ---- values ---------------------------------------------------------------------------------------------------------


@case(values.quantities, "limits.memory: 128m is not a plausible amount of memory")
def a_quantity_of_less_than_a_byte(manifests):
    container(manifests)["resources"]["limits"]["memory"] = "128m"


@case(values.quantities, "requests more memory than its limit")
def a_request_above_the_limit(manifests):
    container(manifests)["resources"]["requests"]["memory"] = "1Gi"


@case(values.quantities, "has no resources.limits.memory", "aks")
def no_memory_limit(manifests):
    del manifests.of("RabbitmqCluster")[0]["spec"]["resources"]["limits"]


@case(values.quantities, "has no sizeLimit")
def a_folder_without_a_size_limit(manifests):
    named(pod(manifests, "Deployment", "grafana")["volumes"], "temporary")["emptyDir"] = {}


@case(values.names, "is not a valid name in Kubernetes")
def a_name_with_a_capital_letter(manifests):
    manifests.find("Deployment", "grafana")["metadata"]["name"] = "Grafana"


@case(values.names, "has no label app.kubernetes.io/component")
def a_missing_label(manifests):
    del manifests.find("Service", "grafana")["metadata"]["labels"]["app.kubernetes.io/component"]


@case(values.names, "is in namespace default")
def another_namespace(manifests):
    manifests.find("Service", "grafana")["metadata"]["namespace"] = "default"


@case(values.names, "Kubernetes rejects more than 1 MiB")
def a_configmap_that_is_too_large(manifests):
    contacts_settings(manifests)["CONTACTS__BROKER__PREFIX"] = "x" * 1024 * 1024


@case(values.images, "must have a tag other than latest")
def the_latest_image(manifests):
    container(manifests, name="grafana")["image"] = "docker.io/grafana/grafana:latest"


@case(values.images, "must have a tag", "aks")
def an_image_without_a_tag(manifests):
    manifests.of("RabbitmqCluster")[0]["spec"]["image"] = "docker.io/library/rabbitmq"


@case(values.images, "Cargo.toml has version")
def an_image_of_another_version(manifests):
    container(manifests)["image"] = "contacts:9.9.9"


@case(values.schedules, "unknown time zone")
def an_unknown_time_zone(manifests):
    manifests.find("CronJob", "contacts-prune")["spec"]["timeZone"] = "Brasil/Sampa"


@case(values.schedules, "is not a schedule")
def an_invalid_schedule(manifests):
    manifests.find("CronJob", "contacts-prune")["spec"]["schedule"] = "every night"


@case(values.drains, "CronJob/contacts-prune: fails if its node is drained")
def a_job_that_fails_if_its_node_is_drained(manifests):
    del manifests.find("CronJob", "contacts-prune")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]


@case(values.pod_security, "runAsNonRoot must be true")
def a_pod_that_runs_as_root(manifests):
    del pod(manifests, "CronJob", "contacts-prune")["securityContext"]


@case(values.pod_security, "capabilities must be dropped", "aks")
def a_rabbitmq_pod_that_the_namespace_rejects(manifests):
    override = manifests.of("RabbitmqCluster")[0]["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"]
    del override["initContainers"]


@case(values.pod_security, "enforce must be restricted")
def a_namespace_that_enforces_nothing(manifests):
    del manifests.of("Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]


@case(values.pod_security, "enableServiceLinks must be false")
def services_as_environment_variables(manifests):
    del pod(manifests, "Deployment", "contacts-producer")["enableServiceLinks"]


@case(values.pod_security, "automountServiceAccountToken must be false")
def an_unnecessary_token(manifests):
    pod(manifests, "Deployment", "grafana")["automountServiceAccountToken"] = True


@case(values.secrets, "only overlays/local may have a Secret", "aks")
def a_secret_in_the_manifests(manifests):
    manifests.objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "contacts"}, "data": {}})


@case(values.connections, "is too low")
def a_database_with_too_few_connections(manifests):
    container(manifests, "StatefulSet", "postgres")["args"] = ["-c", "max_connections=60"]


# ---- monitoring -----------------------------------------------------------------------------------------------------


@case(monitoring.scraped, "job contacts finds")
def a_port_that_prometheus_does_not_find(manifests):
    named(container(manifests, name="contacts-consumer")["ports"], "admin")["name"] = "metrics"


@case(monitoring.scraped, "job rabbitmq finds", "aks")
def a_rabbitmq_that_prometheus_does_not_find(manifests):
    manifests.of("RabbitmqCluster")[0]["metadata"]["name"] = "broker"


@case(monitoring.shipped, "dashboards/overview.json is in no ConfigMap")
def a_missing_dashboard(manifests):
    manifests.objects.remove(next(obj for obj in manifests.of("ConfigMap") if "overview.json" in obj["data"]))


@case(monitoring.shipped, "no pod mounts it")
def a_dashboard_without_a_mount(manifests):
    named(pod(manifests, "Deployment", "grafana")["volumes"], "dashboards")["projected"]["sources"].pop()


@case(monitoring.operator, "job contacts is", "local+options")
def a_pod_monitor_with_another_port(manifests):
    manifests.find("PodMonitor", "contacts")["spec"]["podMetricsEndpoints"][0]["port"] = "http"


@case(monitoring.operator, "job rabbitmq-queues is None", "aks+options")
def a_pod_monitor_without_a_job(manifests):
    manifests.find("PodMonitor", "rabbitmq")["spec"]["podMetricsEndpoints"].pop()


@case(monitoring.operator, "run deploy/lib/generate", "aks+options")
def an_old_prometheus_rule(manifests):
    manifests.of("PrometheusRule")[0]["spec"]["groups"][0]["rules"].pop()


@case(monitoring.operator, "grafana_dashboard", "local+options")
def a_dashboard_that_the_sidecar_does_not_find(manifests):
    dashboard = next(obj for obj in manifests.of("ConfigMap") if "overview.json" in obj["data"])
    del dashboard["metadata"]["labels"]["grafana_dashboard"]


@case(schemas.check, "PodMonitor.*podMetricEndpoints", "local+options")
def a_misspelled_field_of_podmonitor(manifests):
    spec = manifests.of("PodMonitor")[0]["spec"]
    spec["podMetricEndpoints"] = spec["podMetricsEndpoints"]


@case(schemas.check, "PrometheusRule.*expresion", "local+options")
def a_misspelled_field_of_prometheusrule(manifests):
    manifests.of("PrometheusRule")[0]["spec"]["groups"][0]["rules"][0]["expresion"] = "up"


@case(external_tools.options, "outside", "local")
def a_service_with_an_address_outside(manifests):
    manifests.find("Service", "contacts-producer")["spec"]["type"] = "LoadBalancer"


@case(monitoring.provisioned, "where nothing is mounted")
def dashboards_in_another_folder(manifests):
    named(container(manifests, name="grafana")["volumeMounts"], "dashboards")["mountPath"] = "/var/lib/grafana/dashboards"


# ---- the Helm chart. These errors are in the manifests of kustomize, and the chart is then different. -----------------


@case(chart.same, "the chart does not render Service/another")
def an_object_that_the_chart_lacks(manifests):
    service = copy.deepcopy(manifests.find("Service", "grafana"))
    service["metadata"]["name"] = "another"
    manifests.objects.append(service)


@case(chart.same, "only the chart renders Deployment/contacts-console", "aks+options")
def an_object_that_only_the_chart_has(manifests):
    manifests.objects.remove(manifests.find("Deployment", "contacts-console"))


@case(chart.same, "Deployment/contacts-consumer: .*replicas is 3 in kustomize, but 2 in the chart")
def another_number_in_the_chart(manifests):
    manifests.find("Deployment", "contacts-consumer")["spec"]["replicas"] = 3


@case(chart.same, "ConfigMap/prometheus-rules: data.alerts.yml", "local+options")
def another_rule_in_the_chart(manifests):
    rules = next(obj for obj in manifests.of("ConfigMap") if "alerts.yml" in obj["data"])
    rules["data"]["alerts.yml"] += "# more\n"


@case(chart.same, "Deployment/grafana: spec.template.spec.containers.0..env", "aks")
def another_variable_in_the_chart(manifests):
    container(manifests, name="grafana")["env"].pop()


@case(chart.same, "no_namespace removes no difference")
def a_difference_that_does_not_exist(manifests):
    manifests.objects.remove(manifests.of("Namespace")[0])


@case(external_tools.options, "scheduled")
def an_optional_part_that_is_always_there(manifests):
    job = copy.deepcopy(manifests.find("CronJob", "contacts-dlq-drain"))
    job["metadata"]["name"] = "contacts-dlq-drain-scheduled"
    manifests.objects.append(job)


@case(external_tools.placeholders, "does not replace this placeholder", "aks+options")
def a_placeholder_without_a_setting(manifests):
    manifests.find("Service", "grafana")["spec"]["loadBalancerSourceRanges"] = ["203.0.113.0/24"]


@case(external_tools.placeholders, "does not use KEY_VAULT", "aks+options")
def an_unused_setting(manifests):
    for obj in manifests.of("SecretProviderClass"):
        obj["spec"]["parameters"]["keyvaultName"] = "another"


# ---- the program ----------------------------------------------------------------------------------------------------


@case(program.settings, "htpp")
def an_unknown_setting(manifests):
    contacts_settings(manifests)["CONTACTS__HTPP__WORKERS"] = "4"


@case(program.settings, "the program does not read CONTACT__LOG__LEVEL")
def a_variable_that_the_program_does_not_read(manifests):
    contacts_settings(manifests)["CONTACT__LOG__LEVEL"] = "debug"


@case(program.settings, "http.workers")
def a_setting_with_an_invalid_value(manifests):
    contacts_settings(manifests)["CONTACTS__HTTP__WORKERS"] = "four"


@case(program.settings, "its port http is 8080, but the program listens on 8088")
def a_port_without_a_listener(manifests):
    contacts_settings(manifests)["CONTACTS__HTTP__LISTEN"] = "0.0.0.0:8088"


@case(program.settings, "it cannot be reached from outside the pod")
def a_port_inside_the_pod_only(manifests):
    contacts_settings(manifests)["CONTACTS__ADMIN__LISTEN"] = "127.0.0.1:8081"


@case(program.settings, "terminationGracePeriodSeconds is 30")
def a_grace_period_that_is_too_short(manifests):
    pod(manifests, "Deployment", "contacts-producer")["terminationGracePeriodSeconds"] = 30


@case(program.command_lines, "the program does not accept")
def an_unknown_argument(manifests):
    container(manifests, "CronJob", "contacts-prune")["args"][1] = "--older"


@case(program.command_lines, "the program does not accept")
def an_unknown_role(manifests):
    container(manifests)["args"] = ["api"]


@case(program.command_lines, "should fail only because.*at least 1h")
def an_age_that_the_program_rejects(manifests):
    container(manifests, "CronJob", "contacts-prune")["args"] = ["prune", "--older-than", "5m"]


@case(program.api_keys, "has no CONTACTS__HTTP__API_KEYS_FILE")
def an_api_without_keys(manifests):
    variables = container(manifests)["env"]
    variables.remove(named(variables, "CONTACTS__HTTP__API_KEYS_FILE"))


@case(program.api_keys, "has no CONTACTS__ADMIN__CONSOLE_KEYS_FILE", "local+options")
def a_console_without_keys(manifests):
    variables = container(manifests, name="contacts-console")["env"]
    variables.remove(named(variables, "CONTACTS__ADMIN__CONSOLE_KEYS_FILE"))


@case(program.settings, "console_targets", "aks+options")
def a_console_with_an_invalid_target(manifests):
    named(container(manifests, name="contacts-console")["env"], "CONTACTS__ADMIN__CONSOLE_TARGETS")["value"] = "consumer"


@case(wiring.hosts, "uses the host contacts-producer-admn", "local+options")
def a_console_with_an_unknown_target(manifests):
    named(container(manifests, name="contacts-console")["env"], "CONTACTS__ADMIN__CONSOLE_TARGETS")["value"] = (
        "http://contacts-producer-admn:8081"
    )


@case(wiring.references, "Secret contacts-consol does not exist", "aks+options")
def a_console_with_a_secret_that_nobody_creates(manifests):
    named(pod(manifests, "Deployment", "contacts-console")["volumes"], "keys")["secret"]["secretName"] = "contacts-consol"


@case(network.check, "is not in deploy/check/flows.txt: anyone -> console:8081", "local+options")
def a_console_that_everyone_reaches(manifests):
    policy = copy.deepcopy(manifests.find("NetworkPolicy", "anyone-to-producer"))
    policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] = "console"
    policy["spec"]["ingress"][0]["ports"][0]["port"] = 8081
    manifests.objects.append(policy)


@case(monitoring.scraped, "job contacts finds", "aks+options")
def a_console_that_prometheus_does_not_find(manifests):
    named(container(manifests, name="contacts-console")["ports"], "admin")["name"] = "web"


@case(program.probes, "livenessProbe of /healthz on port admin: 404 instead of 200")
def a_probe_of_an_unknown_path(manifests):
    container(manifests)["livenessProbe"]["httpGet"]["path"] = "/healthz"


@case(program.probes, "readinessProbe: 503 instead of 200 without broker and database")
def a_producer_that_leaves_its_service_without_a_broker(manifests):
    container(manifests)["readinessProbe"]["httpGet"]["path"] = "/readyz"


@case(program.probes, "startupProbe: 200 instead of 503 without broker and database")
def a_producer_that_gets_requests_before_it_can_write(manifests):
    container(manifests)["startupProbe"]["httpGet"]["path"] = "/livez"


@case(program.probes, "livenessProbe: 503 instead of 200 without broker and database")
def a_liveness_probe_that_fails_without_a_broker(manifests):
    container(manifests)["livenessProbe"]["httpGet"]["path"] = "/readyz"


def outside_cases(renderings):
    """Cases with an error outside the rendered manifests."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "kustomization.yaml").write_text("resources: [nothing.yaml]\n")
        try:
            external_tools.kustomize(path, path / "out")
            yield "a missing resource", "kustomize accepts it"
        except external_tools.Failure as failure:
            yield "a missing resource", None if "nothing.yaml" in str(failure) else str(failure)
        (path / "Dockerfile").write_text("FROM debian:latest\nRUN cd /tmp && sudo true\n")
        root, external_tools.ROOT = external_tools.ROOT, path
        result = " ".join(external_tools.hadolint())
        external_tools.ROOT = root
        yield "a Dockerfile with the latest base image", None if "DL3007" in result else f"hadolint reports: {result}"
        shutil.copytree(ROOT / "deploy", path / "deploy", symlinks=True)
        shutil.copytree(ROOT / "dashboards", path / "dashboards")
        rules = path / "deploy/prometheus/rules/alerts.yml"
        rules.write_text(rules.read_text().replace("for: 2m", "for: 3m"))
        external_tools.ROOT = path
        result = " ".join(external_tools.generated())
        external_tools.ROOT = root
        yield "a changed rule", None if "prometheus-rule.yaml is old" in result else f"is not reported: {result}"
        readme = path / "deploy/helm/contacts/README.md"
        readme.write_text(readme.read_text().replace("| `prune.olderThan` | `90d` |", "| `prune.olderThan` | `30d` |"))
        template = path / "deploy/helm/contacts/templates/roles/consumer.yaml"
        template.write_text(template.read_text().replace("periodSeconds: 1", "periodSeconds: 2"))
        external_tools.ROOT = path
        result = " ".join(external_tools.generated())
        external_tools.ROOT = root
        for name in ("README.md", "consumer.yaml"):
            yield f"a changed {name} of the chart", None if f"{name} is old" in result else f"is not reported: {result}"
    yield from selftest_chart.cases(root)
    broken = copy.deepcopy([manifests for manifests in renderings if manifests.name.endswith("+options")])
    container(broken[0])["securityContext"]["privileged"] = True
    for manifests in broken:
        pod(manifests, "Deployment", "prometheus")["automountServiceAccountToken"] = False
    result = " ".join(external_tools.checkov(broken))
    yield (
        "a privileged container, for checkov",
        None if re.search(r"Deployment/contacts-producer: CKV_K8S_16", result) else result,
    )
    yield (
        "an unnecessary line in skips.txt",
        None if "CKV_K8S_38 Deployment/prometheus matches no finding" in result else result,
    )


def run():
    renderings = external_tools.render(pathlib.Path(sys.argv[1]))
    by_name = {manifests.name: manifests for manifests in renderings}
    passed = failed = 0

    def report(name, problem):
        nonlocal passed, failed
        passed, failed = passed + (not problem), failed + bool(problem)
        if problem:
            print(f"FAIL  {name}: {problem}", flush=True)

    for name, check, message, rendering, function in CASES:
        broken = Manifests(rendering, copy.deepcopy(by_name[rendering].objects), by_name[rendering].complete)
        function(broken)
        found = list(check(broken))
        if not found:
            report(name, f"{check.__module__}.{check.__name__} does not report it")
        elif not any(re.search(message, problem, re.DOTALL) for problem in found):
            report(name, f"{check.__module__}.{check.__name__} reports another problem: {found}")
        else:
            report(name, None)
    for name, problem in outside_cases(renderings):
        report(name, problem)
    tested = {check for _, check, *_ in CASES}
    for title, check in main.CHECKS:
        if check not in tested:
            report(title, "has no case: add one to deploy/check/lib/selftest.py")
    print(f"selftest: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run())
