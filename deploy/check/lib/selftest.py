"""Breaks what was rendered, one thing at a time, and expects the check for it to say so."""

import copy
import pathlib
import re
import sys
import tempfile

import main
import network
import outside
import program
import schemas
import values
import watching
import wiring
from manifests import NAME, World, get

CASES = []


def case(check, says, world="local"):
    """Marks a function that breaks a World, and what its check must then say."""

    def mark(function):
        CASES.append((function.__name__.replace("_", " ").strip(), check, says, world, function))
        return function

    return mark


def pod(world, kind, name):
    thing = world.find(kind, name)
    return get(thing, "spec", *(("jobTemplate", "spec") if kind == "CronJob" else ()), "template", "spec")


def container(world, kind="Deployment", name="contacts-producer"):
    return pod(world, kind, name)["containers"][0]


def settings_of(world):
    return next(thing["data"] for thing in world.of("ConfigMap") if "CONTACTS__ADMIN__LISTEN" in thing["data"])


def named(things, name):
    return next(thing for thing in things if thing["name"] == name)


# ---- what others say ------------------------------------------------------------------------------------------------


@case(outside.kubectl, "quantities must match")
def a_quantity_with_a_wrong_letter(world):
    container(world)["resources"]["limits"]["memory"] = "128Zi"


@case(outside.kubectl, "unable|cannot unmarshal|json:")
def a_text_where_a_number_belongs(world):
    world.find("Deployment", "contacts-consumer")["spec"]["replicas"] = "two"


@case(schemas.check, "Additional properties are not allowed .*livenesProbe")
def a_field_written_wrong(world):
    container(world)["livenesProbe"] = container(world).pop("livenessProbe")


@case(schemas.check, "has no kind Deploymnet")
def a_kind_that_nobody_knows(world):
    world.find("Deployment", "grafana")["kind"] = "Deploymnet"


@case(schemas.check, "has no kind PodSecurityPolicy")
def a_kind_that_is_gone(world):
    world.objects.append({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "x"}})


@case(schemas.check, "RabbitmqCluster.*replica", "aks")
def a_field_of_rabbitmqcluster_written_wrong(world):
    world.of("RabbitmqCluster")[0]["spec"]["replica"] = world.of("RabbitmqCluster")[0]["spec"].pop("replicas")


@case(schemas.check, "RabbitmqCluster.*runAsNonRot", "aks")
def a_field_of_kubernetes_in_rabbitmqcluster_written_wrong(world):
    override = world.of("RabbitmqCluster")[0]["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"]
    override["securityContext"]["runAsNonRot"] = True


@case(schemas.check, "ScaledObject.*minReplicas", "aks")
def a_field_of_scaledobject_written_wrong(world):
    world.of("ScaledObject")[0]["spec"]["minReplicas"] = 2


@case(schemas.check, "excludeUnacknowledged", "aks")
def a_scaler_that_forgets_what_workers_hold(world):
    world.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["excludeUnacknowledged"] = "true"


@case(schemas.check, "protocol", "aks")
def a_scaler_by_amqp_which_cannot_count_what_workers_hold(world):
    world.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["protocol"] = "amqp"


@case(schemas.check, "TriggerAuthentication.*secretTarget", "aks")
def a_field_of_triggerauthentication_written_wrong(world):
    world.of("TriggerAuthentication")[0]["spec"]["secretTarget"] = []


@case(schemas.check, "tenantID", "aks")
def a_parameter_of_the_vault_written_wrong(world):
    parameters = world.of("SecretProviderClass")[0]["spec"]["parameters"]
    parameters["tenantID"] = parameters.pop("tenantId")


@case(schemas.check, "objectTyp", "aks")
def a_field_in_the_text_of_the_vaults_objects_written_wrong(world):
    parameters = world.of("SecretProviderClass")[0]["spec"]["parameters"]
    parameters["objects"] = parameters["objects"].replace("objectType", "objectTyp")


# ---- what objects say of each other ---------------------------------------------------------------------------------


@case(wiring.selectors, "Service/contacts-producer: its selector matches no pod")
def a_service_for_nobody(world):
    world.find("Service", "contacts-producer")["spec"]["selector"][NAME] = "contact"


@case(wiring.selectors, "Service/contacts-producer: targetPort web is no port")
def a_service_to_a_port_that_is_not_there(world):
    world.find("Service", "contacts-producer")["spec"]["ports"][0]["targetPort"] = "web"


@case(wiring.selectors, "Deployment/contacts-consumer: its selector does not match its own pods")
def a_deployment_that_does_not_know_its_pods(world):
    world.find("Deployment", "contacts-consumer")["spec"]["template"]["metadata"]["labels"][
        "app.kubernetes.io/component"
    ] = "worker"


@case(wiring.selectors, "also matches the pods of Deployment/contacts-consumer")
def a_deployment_that_takes_anothers_pods(world):
    del world.find("Deployment", "contacts-producer")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]


@case(wiring.selectors, "PodDisruptionBudget/contacts-consumer")
def a_disruption_budget_for_nobody(world):
    world.find("PodDisruptionBudget", "contacts-consumer")["spec"]["selector"]["matchLabels"][NAME] = "consumer"


@case(wiring.selectors, "there is no Deployment contacts-api to scale")
def an_autoscaler_for_nobody(world):
    world.of("HorizontalPodAutoscaler")[0]["spec"]["scaleTargetRef"]["name"] = "contacts-api"


@case(wiring.selectors, "there is no Deployment contacts-worker to scale", "aks")
def a_scaledobject_for_nobody(world):
    world.of("ScaledObject")[0]["spec"]["scaleTargetRef"]["name"] = "contacts-worker"


@case(wiring.selectors, "says spec.replicas", "aks")
def a_number_of_pods_that_a_scaler_decides(world):
    world.find("Deployment", "contacts-consumer")["spec"]["replicas"] = 2


@case(wiring.selectors, "NetworkPolicy/prometheus: its podSelector matches no pod")
def a_network_policy_for_nobody(world):
    world.find("NetworkPolicy", "prometheus")["spec"]["podSelector"]["matchLabels"][NAME] = "prom"


@case(wiring.selectors, "lets in port 8088")
def a_network_policy_for_a_port_that_is_not_there(world):
    world.find("NetworkPolicy", "anyone-to-producer")["spec"]["ingress"][0]["ports"][0]["port"] = 8088


@case(wiring.selectors, "a topologySpreadConstraint does not match its own pods")
def a_spread_over_others(world):
    pod(world, "Deployment", "contacts-producer")["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"][
        NAME
    ] = "x"


@case(wiring.ports, "livenessProbe of producer asks port adm")
def a_probe_of_a_port_that_is_not_there(world):
    container(world)["livenessProbe"]["httpGet"]["port"] = "adm"


@case(wiring.ports, "each of its ports must have a name")
def a_port_without_a_name(world):
    del container(world)["ports"][0]["name"]


@case(wiring.ports, "has not both a livenessProbe and a readinessProbe")
def a_listener_without_a_probe(world):
    del container(world, name="prometheus")["readinessProbe"]


@case(wiring.references, "has no key broker_url")
def a_key_of_a_secret_that_is_not_there(world):
    pod(world, "Deployment", "contacts-consumer")["volumes"][0]["secret"]["items"][0]["key"] = "broker_url"


@case(wiring.references, "there is no ConfigMap nothing")
def a_configmap_that_is_not_there(world):
    container(world, "Job", "contacts-migrate")["envFrom"][0]["configMapRef"]["name"] = "nothing"


@case(wiring.references, "nothing uses its key spare")
def a_key_of_a_secret_that_nobody_uses(world):
    next(thing for thing in world.of("Secret") if "api-keys" in thing["data"])["data"]["spare"] = "eA=="


@case(wiring.references, "no pod uses api-keys", "aks")
def a_secret_of_the_vault_that_nobody_uses(world):
    world.find("SecretProviderClass", "contacts")["spec"]["parameters"]["objects"] += (
        "  - |\n    objectName: api-keys\n    objectType: secret\n"
    )


@case(wiring.references, "names /secrets/database_url, which no volume brings")
def a_file_that_is_not_mounted(world):
    named(container(world)["env"], "CONTACTS__DATABASE__URL_FILE")["value"] = "/secrets/database_url"


@case(wiring.references, "there is no SecretProviderClass vault", "aks")
def a_vault_that_is_not_there(world):
    pod(world, "Deployment", "grafana")["volumes"][0]["csi"]["volumeAttributes"]["secretProviderClass"] = "vault"


@case(wiring.references, "there is no key user in a Secret rabbitmq-default-user", "aks")
def a_key_that_rabbitmqs_operator_does_not_make(world):
    world.of("TriggerAuthentication")[0]["spec"]["secretTargetRef"][0]["key"] = "user"


@case(wiring.references, "there is no ServiceAccount robot")
def an_account_that_is_not_there(world):
    pod(world, "CronJob", "contacts-prune")["serviceAccountName"] = "robot"


@case(wiring.references, "only Prometheus has rights")
def rights_that_nobody_needs(world):
    world.of("Role")[0]["rules"][0]["resources"].append("secrets")


@case(wiring.references, "there is no PersistentVolumeClaim prom")
def a_claim_that_is_not_there(world):
    named(pod(world, "Deployment", "prometheus")["volumes"], "data")["persistentVolumeClaim"]["claimName"] = "prom"


@case(wiring.hosts, "names prometheus:9091")
def a_host_with_another_port(world):
    named(container(world, name="grafana")["env"], "PROMETHEUS_URL")["value"] = "http://prometheus:9091"


@case(wiring.hosts, "names the host rabbit.contacts.svc", "aks")
def a_host_that_is_not_there(world):
    world.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["host"] = "http://rabbit.contacts.svc:15672/"


@case(network.check, "keep from passing what must pass: producer -> postgres:5432")
def a_way_that_is_closed(world):
    world.find("NetworkPolicy", "contacts-to-postgres")["spec"]["podSelector"]["matchExpressions"][0]["values"].remove(
        "producer"
    )


@case(network.check, "does not list: anyone -> postgres:5432")
def a_way_that_is_open(world):
    world.find("NetworkPolicy", "postgres")["spec"]["ingress"].append({"ports": [{"protocol": "TCP", "port": 5432}]})


@case(network.check, "does not list: grafana -> postgres:5432")
def no_default_deny(world):
    world.objects.remove(world.find("NetworkPolicy", "deny-all"))
    world.objects.remove(world.find("NetworkPolicy", "postgres"))
    world.objects.remove(world.find("NetworkPolicy", "grafana"))
    world.objects.remove(world.find("NetworkPolicy", "all-to-dns"))


# ---- values ---------------------------------------------------------------------------------------------------------


@case(values.quantities, "limits.memory: 128m is not an amount of memory")
def a_thousandth_of_a_byte(world):
    container(world)["resources"]["limits"]["memory"] = "128m"


@case(values.quantities, "requests more memory than its limit")
def a_request_above_the_limit(world):
    container(world)["resources"]["requests"]["memory"] = "1Gi"


@case(values.quantities, "has no resources.limits.memory", "aks")
def no_limit_of_memory(world):
    del world.of("RabbitmqCluster")[0]["spec"]["resources"]["limits"]


@case(values.quantities, "has no sizeLimit")
def a_folder_without_an_end(world):
    named(pod(world, "Deployment", "grafana")["volumes"], "temporary")["emptyDir"] = {}


@case(values.names, "is no name that Kubernetes takes")
def a_name_with_a_capital_letter(world):
    world.find("Deployment", "grafana")["metadata"]["name"] = "Grafana"


@case(values.names, "has no label app.kubernetes.io/component")
def a_label_that_is_missing(world):
    del world.find("Service", "grafana")["metadata"]["labels"]["app.kubernetes.io/component"]


@case(values.names, "is in namespace default")
def another_namespace(world):
    world.find("Service", "grafana")["metadata"]["namespace"] = "default"


@case(values.names, "more than 1 MiB is refused")
def a_configmap_that_is_too_large(world):
    settings_of(world)["CONTACTS__BROKER__PREFIX"] = "x" * 1024 * 1024


@case(values.images, "must have a tag, and not latest")
def the_latest_image(world):
    container(world, name="grafana")["image"] = "docker.io/grafana/grafana:latest"


@case(values.images, "must have a tag", "aks")
def an_image_without_a_tag(world):
    world.of("RabbitmqCluster")[0]["spec"]["image"] = "docker.io/library/rabbitmq"


@case(values.images, "Cargo.toml says")
def an_image_of_another_version(world):
    container(world)["image"] = "contacts:9.9.9"


@case(values.schedules, "there is no time zone")
def a_time_zone_that_is_not_there(world):
    world.find("CronJob", "contacts-prune")["spec"]["timeZone"] = "Brasil/Sampa"


@case(values.schedules, "is no schedule")
def a_schedule_that_is_none(world):
    world.find("CronJob", "contacts-prune")["spec"]["schedule"] = "every night"


@case(values.confinement, "runAsNonRoot must be true")
def a_pod_that_runs_as_root(world):
    del pod(world, "CronJob", "contacts-prune")["securityContext"]


@case(values.confinement, "capabilities must be dropped", "aks")
def a_rabbitmq_that_the_namespace_would_refuse(world):
    override = world.of("RabbitmqCluster")[0]["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"]
    del override["initContainers"]


@case(values.confinement, "enforce must be restricted")
def a_namespace_that_lets_everything_in(world):
    del world.of("Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]


@case(values.confinement, "enableServiceLinks must be false")
def services_as_variables(world):
    del pod(world, "Deployment", "contacts-producer")["enableServiceLinks"]


@case(values.confinement, "automountServiceAccountToken must be false")
def a_token_that_nobody_needs(world):
    pod(world, "Deployment", "grafana")["automountServiceAccountToken"] = True


@case(values.secrets, "only overlays/local may have a Secret", "aks")
def a_secret_in_the_manifests(world):
    world.objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "contacts"}, "data": {}})


@case(values.connections, "is too few")
def a_database_with_too_few_connections(world):
    container(world, "StatefulSet", "postgres")["args"] = ["-c", "max_connections=60"]


# ---- who watches ----------------------------------------------------------------------------------------------------


@case(watching.scraped, "job contacts finds")
def a_port_that_prometheus_does_not_look_for(world):
    named(container(world, name="contacts-consumer")["ports"], "admin")["name"] = "metrics"


@case(watching.scraped, "job rabbitmq finds", "aks")
def a_rabbitmq_that_prometheus_does_not_look_for(world):
    world.of("RabbitmqCluster")[0]["metadata"]["name"] = "broker"


@case(watching.shipped, "dashboards/overview.json is in no ConfigMap")
def a_dashboard_that_is_left_out(world):
    world.objects.remove(next(thing for thing in world.of("ConfigMap") if "overview.json" in thing["data"]))


@case(watching.shipped, "no pod mounts it")
def a_dashboard_that_is_not_mounted(world):
    named(pod(world, "Deployment", "grafana")["volumes"], "dashboards")["projected"]["sources"].pop()


@case(watching.provisioned, "where nothing is mounted")
def dashboards_at_another_place(world):
    named(container(world, name="grafana")["volumeMounts"], "dashboards")["mountPath"] = "/var/lib/grafana/dashboards"


@case(outside.options, "scheduled")
def what_is_optional_is_not(world):
    job = copy.deepcopy(world.find("CronJob", "contacts-dlq-drain"))
    job["metadata"]["name"] = "contacts-dlq-drain-scheduled"
    world.objects.append(job)


@case(outside.filled_in, "is not filled in", "aks+options")
def a_placeholder_that_nothing_fills_in(world):
    world.find("Service", "grafana")["spec"]["loadBalancerSourceRanges"] = ["203.0.113.0/24"]


@case(outside.filled_in, "KEY_VAULT comes to no place", "aks+options")
def a_setting_without_a_place(world):
    for thing in world.of("SecretProviderClass"):
        thing["spec"]["parameters"]["keyvaultName"] = "another"


# ---- the program ----------------------------------------------------------------------------------------------------


@case(program.settings, "htpp")
def a_setting_that_the_program_does_not_know(world):
    settings_of(world)["CONTACTS__HTPP__WORKERS"] = "4"


@case(program.settings, "the program reads no variable CONTACT__LOG__LEVEL")
def a_setting_that_the_program_would_not_see(world):
    settings_of(world)["CONTACT__LOG__LEVEL"] = "debug"


@case(program.settings, "http.workers")
def a_setting_with_a_wrong_value(world):
    settings_of(world)["CONTACTS__HTTP__WORKERS"] = "four"


@case(program.settings, "its port http is 8080, but the program listens on 8088")
def a_port_where_nobody_listens(world):
    settings_of(world)["CONTACTS__HTTP__LISTEN"] = "0.0.0.0:8088"


@case(program.settings, "nobody outside the pod can reach it")
def a_port_that_only_the_pod_reaches(world):
    settings_of(world)["CONTACTS__ADMIN__LISTEN"] = "127.0.0.1:8081"


@case(program.settings, "terminationGracePeriodSeconds is 30")
def a_grace_that_is_too_short(world):
    pod(world, "Deployment", "contacts-producer")["terminationGracePeriodSeconds"] = 30


@case(program.command_lines, "the program does not take")
def an_argument_that_the_program_does_not_know(world):
    container(world, "CronJob", "contacts-prune")["args"][1] = "--older"


@case(program.command_lines, "the program does not take")
def a_role_that_the_program_does_not_know(world):
    container(world)["args"] = ["api"]


@case(program.command_lines, "should fail only because.*at least 1h")
def an_age_that_the_program_refuses(world):
    container(world, "CronJob", "contacts-prune")["args"] = ["prune", "--older-than", "5m"]


@case(program.doors, "has no CONTACTS__HTTP__API_KEYS_FILE")
def an_api_without_keys(world):
    variables = container(world)["env"]
    variables.remove(named(variables, "CONTACTS__HTTP__API_KEYS_FILE"))


@case(program.probes, "livenessProbe asks /healthz on port admin: 404 instead of 200")
def a_probe_that_the_program_does_not_answer(world):
    container(world)["livenessProbe"]["httpGet"]["path"] = "/healthz"


@case(program.probes, "livenessProbe: 503 instead of 200 while broker and database are away")
def a_probe_that_would_kill_for_want_of_a_broker(world):
    container(world)["livenessProbe"]["httpGet"]["path"] = "/readyz"


def outside_cases(worlds):
    """What is broken not in a World, but on the way to it."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / "kustomization.yaml").write_text("resources: [nothing.yaml]\n")
        try:
            outside.kustomize(place, place / "out")
            yield "a resource that is not there", "kustomize takes it"
        except outside.Failure as failure:
            yield "a resource that is not there", None if "nothing.yaml" in str(failure) else str(failure)
        (place / "Dockerfile").write_text("FROM debian:latest\nRUN cd /tmp && sudo true\n")
        root, outside.ROOT = outside.ROOT, place
        said = " ".join(outside.hadolint())
        outside.ROOT = root
        yield "a Dockerfile that takes the latest base", None if "DL3007" in said else f"hadolint says: {said}"
    broken = copy.deepcopy([world for world in worlds if world.name.endswith("+options")])
    container(broken[0])["securityContext"]["privileged"] = True
    for world in broken:
        pod(world, "Deployment", "prometheus")["automountServiceAccountToken"] = False
    said = " ".join(outside.checkov(broken))
    yield (
        "a privileged container, for checkov",
        None if re.search(r"Deployment/contacts-producer: CKV_K8S_16", said) else said,
    )
    yield (
        "a skip that is not needed any more",
        None if "CKV_K8S_38 Deployment/prometheus finds nothing" in said else said,
    )


def run():
    worlds = outside.render(pathlib.Path(sys.argv[1]))
    by_name = {world.name: world for world in worlds}
    passed = failed = 0

    def report(name, problem):
        nonlocal passed, failed
        passed, failed = passed + (not problem), failed + bool(problem)
        if problem:
            print(f"FAIL  {name}: {problem}", flush=True)

    for name, check, says, world, function in CASES:
        broken = World(world, copy.deepcopy(by_name[world].objects), by_name[world].complete)
        function(broken)
        found = list(check(broken))
        if not found:
            report(name, f"{check.__module__}.{check.__name__} does not see it")
        elif not any(re.search(says, problem, re.DOTALL) for problem in found):
            report(name, f"{check.__module__}.{check.__name__} says something else: {found}")
        else:
            report(name, None)
    for name, problem in outside_cases(worlds):
        report(name, problem)
    tried = {check for _, check, *_ in CASES}
    for title, check in main.CHECKS:
        if check not in tried:
            report(title, "is never seen failing: add a case to deploy/check/lib/selftest.py")
    print(f"selftest: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run())
