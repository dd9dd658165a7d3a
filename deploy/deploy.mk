# Targets for the image, the cluster and Azure. The Makefile includes this file; see docs/DEPLOY.md.
#
# Each target prints its commands and stops at the first failed command. It takes no secret on its command line. If
# something is missing, it prints one line about it. The scripts are in deploy/lib/ and deploy/azure/.

# The environment: `local` (kind, k3d, minikube or the cluster CONTEXT) or `aks`. The manifests are in
# deploy/overlays/ENV.
ENV ?= local
# The tag of the image. Default: the current commit, followed by -dirty if files are changed.
TAG ?=
# The tool that builds and pushes the image: docker, podman, or none (Azure builds it with `az acr build`). Default: the
# first of them that answers.
ENGINE ?=
# Additional arguments for the build. Example: BUILD_ARGS='--build-arg BASE_IMAGE=...@sha256:...'
BUILD_ARGS ?=
# The registry. Default: the registry in RESOURCE_GROUP. With ENV=local, the cluster must be able to pull from it.
REGISTRY ?=
# The cluster, as a kubectl context. Default: the cluster in RESOURCE_GROUP; with ENV=local, the current context.
CONTEXT ?=
NAMESPACE ?= contacts
# The longest time to wait for each rollout.
TIMEOUT ?= 10m
# 1 answers yes to every question, for example before something is deleted.
YES ?=

RESOURCE_GROUP ?= contacts
LOCATION ?= brazilsouth
# The parameters of the Azure resources: sizes, tiers, address ranges. No secrets.
PARAMETERS ?= deploy/azure/main.bicepparam
# The administrator of the cluster: the object id of a user or group. Default: the current user of the Azure CLI.
ADMINISTRATOR_ID ?=
# The secrets that azure-up replaces, separated by commas: database, api-key, grafana, grafana-certificate.
ROTATE ?=
# A file with Grafana's certificate and key (PEM). Default: the first azure-up creates a self-signed certificate.
GRAFANA_CERTIFICATE ?=
# RabbitMQ's cluster operator. Versions from 2.20 need cert-manager, which azure-up does not install.
RABBITMQ_OPERATOR ?= https://github.com/rabbitmq/cluster-operator/releases/download/v2.16.1/cluster-operator.yml

DEPLOY_TARGETS := image push migrate deploy diff rollback status dlq azure-up azure-down
.PHONY: $(DEPLOY_TARGETS)
$(DEPLOY_TARGETS): export ENV := $(ENV)
$(DEPLOY_TARGETS): export TAG := $(TAG)
$(DEPLOY_TARGETS): export ENGINE := $(ENGINE)
$(DEPLOY_TARGETS): export BUILD_ARGS := $(BUILD_ARGS)
$(DEPLOY_TARGETS): export REGISTRY := $(REGISTRY)
$(DEPLOY_TARGETS): export CONTEXT := $(CONTEXT)
$(DEPLOY_TARGETS): export NAMESPACE := $(NAMESPACE)
$(DEPLOY_TARGETS): export TIMEOUT := $(TIMEOUT)
$(DEPLOY_TARGETS): export YES := $(YES)
$(DEPLOY_TARGETS): export RESOURCE_GROUP := $(RESOURCE_GROUP)
$(DEPLOY_TARGETS): export LOCATION := $(LOCATION)
$(DEPLOY_TARGETS): export PARAMETERS := $(PARAMETERS)
$(DEPLOY_TARGETS): export ADMINISTRATOR_ID := $(ADMINISTRATOR_ID)
$(DEPLOY_TARGETS): export ROTATE := $(ROTATE)
$(DEPLOY_TARGETS): export GRAFANA_CERTIFICATE := $(GRAFANA_CERTIFICATE)
$(DEPLOY_TARGETS): export RABBITMQ_OPERATOR := $(RABBITMQ_OPERATOR)

image: ## Build the image contacts:TAG with docker or podman (ENGINE)
	@deploy/lib/image build

push: ## Push the image to the registry, or let the Azure registry build it without docker and podman
	@deploy/lib/image push

migrate: ## Update the schema of ENV's database, with a Job in the cluster
	@deploy/lib/cluster migrate

deploy: ## Release TAG to ENV (local or aks): migrate, then update the consumers, then the producers
	@deploy/lib/cluster deploy

diff: ## Show the changes that deploy would make in ENV
	@deploy/lib/cluster diff

rollback: ## Return ENV to the release before the last one; the schema stays
	@deploy/lib/cluster rollback

status: ## Show the workloads of ENV and recent problems
	@deploy/lib/cluster status

dlq: ## Run dlq-drain in ENV (ARGS='list --messages', 'show ID', ...; see docs/DEAD-LETTERS.md)
	@deploy/lib/cluster dlq $(ARGS)

azure-up: ## Create or update all Azure resources (RESOURCE_GROUP, LOCATION; asks first)
	@deploy/azure/up

azure-down: ## Delete all Azure resources, with data and backups (asks first)
	@deploy/azure/down
