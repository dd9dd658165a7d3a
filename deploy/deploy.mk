# What ships the service: the image, the cluster, Azure. Included by the Makefile; docs/DEPLOY.md says how to use it.
#
# Each target prints the commands that it runs, stops at the first that fails, takes no secret on its command line, and
# says in one line what is missing. The work is done in deploy/lib/ and deploy/azure/.

# Where to: `local` (kind, k3d, minikube or what CONTEXT names) or `aks`; the manifests are in deploy/overlays/ENV.
ENV ?= local
# The tag of the image; empty means the commit that is checked out, with -dirty behind it if files were changed.
TAG ?=
# What builds and pushes: docker, podman, or none (then Azure builds, by `az acr build`); empty takes what answers.
ENGINE ?=
# Passed on to the build, such as: BUILD_ARGS='--build-arg BASE_IMAGE=...@sha256:...'
BUILD_ARGS ?=
# The registry: empty means that of RESOURCE_GROUP. With ENV=local, one that the cluster can pull from.
REGISTRY ?=
# The cluster, as kubectl names it; empty means that of RESOURCE_GROUP, with ENV=local the current one.
CONTEXT ?=
NAMESPACE ?= contacts
# How long to wait for each rollout.
TIMEOUT ?= 10m
# 1 answers the questions before something is destroyed.
YES ?=

RESOURCE_GROUP ?= contacts
LOCATION ?= brazilsouth
# What to build in Azure: sizes, tiers, address ranges. No secrets.
PARAMETERS ?= deploy/azure/main.bicepparam
# Who may administer the cluster: the object id of a user or group; empty means who is logged in.
ADMINISTRATOR_ID ?=
# Which secrets azure-up makes anew: a list with commas of database, api-key, grafana, grafana-certificate.
ROTATE ?=
# A file with Grafana's certificate and key (PEM); empty makes one that is signed by itself, the first time.
GRAFANA_CERTIFICATE ?=
# RabbitMQ's cluster operator. From 2.20 on it needs cert-manager, which azure-up does not install.
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

push: ## Push the image to the registry in Azure, or let that build it where there is no docker or podman
	@deploy/lib/image push

migrate: ## Bring the schema of ENV's database up to date, by a Job in the cluster
	@deploy/lib/cluster migrate

deploy: ## Release TAG to ENV (local or aks): migrate, then consumers, then producers, waiting for each
	@deploy/lib/cluster deploy

diff: ## Show what deploy would change in ENV
	@deploy/lib/cluster diff

rollback: ## Go back to what ran in ENV before the last release; the schema stays
	@deploy/lib/cluster rollback

status: ## Show what runs in ENV, and what went wrong lately
	@deploy/lib/cluster status

dlq: ## Treat dead letters in ENV (ARGS='list --each', 'show ID', ...; see docs/DEAD-LETTERS.md)
	@deploy/lib/cluster dlq $(ARGS)

azure-up: ## Make everything in Azure, or bring it up to date (RESOURCE_GROUP, LOCATION; it asks before it does)
	@deploy/azure/up

azure-down: ## Destroy everything in Azure, data and backups included (it asks)
	@deploy/azure/down
