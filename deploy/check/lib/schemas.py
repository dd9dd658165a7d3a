"""Validates every object with the schema of its kind. An unknown kind or an unknown field is a problem."""

import functools
import json
import pathlib

import jsonschema
import kubernetes_validate.utils
import referencing
import yaml

from manifests import get, label

KUBERNETES = "1.36"
OWN = pathlib.Path(__file__).resolve().parents[1] / "schemas"

# Cache the schema files. Without a cache, the library reads them for each object.
kubernetes_validate.utils.schema_contents = functools.lru_cache(maxsize=None)(kubernetes_validate.utils.schema_contents)


@functools.cache
def definitions():
    """The definitions of Kubernetes, for Kubernetes types in custom resources."""
    name = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict/_definitions.json"
    contents = kubernetes_validate.utils.schema_contents(name, KUBERNETES)
    return referencing.Resource.from_contents(contents) @ referencing.Registry()


def closed(schema):
    """A copy of the schema that allows no unknown fields."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [closed(value) for value in schema]
    return schema


@functools.cache
def own(name):
    return jsonschema.Draft202012Validator(json.loads((OWN / f"{name}.json").read_text()), registry=definitions())


@functools.cache
def keda(kind):
    from cloudcoil.models.keda import v1alpha1

    return of_models(getattr(v1alpha1, kind))


@functools.cache
def prometheus_operator(kind):
    from cloudcoil.models.prometheus_operator import v1

    return of_models(getattr(v1, kind))


def of_models(model):
    schema = closed(model.model_json_schema())
    # The models have defaults for these fields, but a manifest must have them.
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): lambda: own("rabbitmqcluster"),
    ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass"): lambda: own("secretproviderclass"),
    ("keda.sh/v1alpha1", "ScaledObject"): lambda: keda("ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): lambda: keda("TriggerAuthentication"),
    ("monitoring.coreos.com/v1", "PodMonitor"): lambda: prometheus_operator("PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"): lambda: prometheus_operator("PrometheusRule"),
}


def explain(error):
    # With alternatives, report the error with the longest path.
    while error.context:
        error = max(error.context, key=lambda other: len(other.absolute_path))
    path = ".".join(str(step) for step in error.absolute_path) or "the object"
    return f"{path}: {error.message[:200]}"


def check(manifests):
    for obj in manifests.objects:
        kind = (obj.get("apiVersion"), obj.get("kind"))
        if kind in VALIDATORS:
            for error in VALIDATORS[kind]().iter_errors(obj):
                yield f"{label(obj)}: {explain(error)}"
            yield from check_free_fields(obj)
            continue
        try:
            kubernetes_validate.validate(obj, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{label(obj)}: {explain(error)}"
        except kubernetes_validate.SchemaNotFoundError:
            yield (
                f"{label(obj)}: Kubernetes {KUBERNETES} has no kind {kind[1]} in {kind[0]}; "
                "for a custom resource, add its schema to deploy/check/lib/schemas.py"
            )


def check_free_fields(obj):
    """Checks the fields of a custom resource that its own schema does not check."""
    if obj["kind"] == "ScaledObject":
        for trigger in get(obj, "spec", "triggers", default=[]):
            if trigger.get("type") != "rabbitmq":
                yield f"{label(obj)}: trigger {trigger.get('type')}: this check supports only rabbitmq"
                continue
            for error in own("keda-rabbitmq-trigger").iter_errors(trigger.get("metadata")):
                yield f"{label(obj)}: trigger rabbitmq: {explain(error)}"
    if obj["kind"] == "SecretProviderClass":
        try:
            objects = vault_objects(obj)
        except (yaml.YAMLError, TypeError, KeyError) as error:
            yield f"{label(obj)}: spec.parameters.objects is not a list of objects as text: {error}"
            return
        for entry in objects:
            for error in own("keyvault-object").iter_errors(entry):
                yield f"{label(obj)}: objects: {explain(error)}"


def vault_objects(obj):
    """The objects of a SecretProviderClass, which are YAML in YAML in YAML."""
    return [yaml.safe_load(entry) for entry in yaml.safe_load(obj["spec"]["parameters"]["objects"])["array"]]
