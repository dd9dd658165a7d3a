"""Every object against the schema of its kind. A kind without one is wrong, and so is a field that it does not have."""

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

# It reads its files again for each object.
kubernetes_validate.utils.schema_contents = functools.lru_cache(maxsize=None)(kubernetes_validate.utils.schema_contents)


@functools.cache
def definitions():
    """Kubernetes' own, for the parts of custom resources that are taken from there."""
    name = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict/_definitions.json"
    contents = kubernetes_validate.utils.schema_contents(name, KUBERNETES)
    return referencing.Resource.from_contents(contents) @ referencing.Registry()


def closed(schema):
    """The same schema, which takes no fields but those that it names."""
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

    schema = closed(getattr(v1alpha1, kind).model_json_schema())
    # The models fill these in themselves.
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): lambda: own("rabbitmqcluster"),
    ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass"): lambda: own("secretproviderclass"),
    ("keda.sh/v1alpha1", "ScaledObject"): lambda: keda("ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): lambda: keda("TriggerAuthentication"),
}


def explain(error):
    # Of alternatives, the one that came furthest says most.
    while error.context:
        error = max(error.context, key=lambda other: len(other.absolute_path))
    place = ".".join(str(step) for step in error.absolute_path) or "the object"
    return f"{place}: {error.message[:200]}"


def check(world):
    for thing in world.objects:
        kind = (thing.get("apiVersion"), thing.get("kind"))
        if kind in VALIDATORS:
            for error in VALIDATORS[kind]().iter_errors(thing):
                yield f"{label(thing)}: {explain(error)}"
            yield from inner(thing)
            continue
        try:
            kubernetes_validate.validate(thing, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{label(thing)}: {explain(error)}"
        except kubernetes_validate.SchemaNotFoundError:
            yield (
                f"{label(thing)}: Kubernetes {KUBERNETES} has no kind {kind[1]} in {kind[0]}; "
                "for a custom resource, add its schema to deploy/check/lib/schemas.py"
            )


def inner(thing):
    """What a custom resource has as text or as free settings, which its own schema does not look into."""
    if thing["kind"] == "ScaledObject":
        for trigger in get(thing, "spec", "triggers", default=[]):
            if trigger.get("type") != "rabbitmq":
                yield f"{label(thing)}: trigger {trigger.get('type')}: only rabbitmq is known to this check"
                continue
            for error in own("keda-rabbitmq-trigger").iter_errors(trigger.get("metadata")):
                yield f"{label(thing)}: trigger rabbitmq: {explain(error)}"
    if thing["kind"] == "SecretProviderClass":
        try:
            objects = vault_objects(thing)
        except (yaml.YAMLError, TypeError, KeyError) as error:
            yield f"{label(thing)}: spec.parameters.objects is not a list of objects, each as text: {error}"
            return
        for entry in objects:
            for error in own("keyvault-object").iter_errors(entry):
                yield f"{label(thing)}: objects: {explain(error)}"


def vault_objects(thing):
    """The objects of a SecretProviderClass: YAML in YAML in YAML."""
    return [yaml.safe_load(entry) for entry in yaml.safe_load(thing["spec"]["parameters"]["objects"])["array"]]
