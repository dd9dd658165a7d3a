# shellcheck shell=bash
# Functions that the deployment scripts share. The scripts source this file. deploy.mk runs the scripts and sets all
# variables.
#
# Rule: a command that changes something runs with `run`, which prints it. Only queries may run without being printed.
# deploy/azure/check records all commands of every target.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly DEPLOYMENT=contacts # the name of the deployment in Azure; its outputs describe the resources
readonly ME="${0##*/}${1:+ $1}"

say() {
    printf '%s\n' "$*" >&2
}

# Prints one line with the problem and the solution, and exits.
die() {
    say "$ME: $*"
    exit 1
}

# Prints a command in shell syntax, then runs it.
run() {
    local word line=+
    for word; do
        [[ $word =~ ^[[:alnum:]_./:=,@%+-]+$ ]] || word=${word@Q}
        line+=" $word"
    done
    say "$line"
    "$@"
}

# need COMMAND HINT
need() {
    command -v "$1" >/dev/null || die "$1 is not installed: $2"
}

need_kubectl() {
    need kubectl 'see https://kubernetes.io/docs/tasks/tools/, or run: az aks install-cli'
}

need_azure() {
    need az 'see https://learn.microsoft.com/cli/azure/install-azure-cli'
    az account show --output none 2>/dev/null || die 'not logged in to Azure: run: az login'
}

# confirm QUESTION
confirm() {
    [[ ${YES:-} != 1 ]] || return 0
    [[ -t 0 ]] || die "there is no terminal to answer \"$1\": use a terminal, or set YES=1"
    local answer
    read -r -p "$1 [y/N] " answer
    [[ $answer == [yY]* ]] || die 'cancelled; nothing was changed'
}

# The tag of the image: TAG, or the current commit.
tag() {
    if [[ -n ${TAG:-} ]]; then
        printf '%s' "$TAG"
        return
    fi
    need git 'or set TAG'
    git describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null || die 'this is not a git work tree: set TAG'
}

# azure_outputs NAME...: prints outputs of the deployment in Azure, a line for each name.
azure_outputs() {
    local query=() name
    for name; do query+=("properties.outputs.$name.value"); done
    local IFS=,
    az deployment group show --resource-group "$RESOURCE_GROUP" --name "$DEPLOYMENT" \
        --query "[${query[*]}]" --output tsv 2>/dev/null ||
        die "no deployment '$DEPLOYMENT' in resource group '$RESOURCE_GROUP': run make azure-up, or set RESOURCE_GROUP"
}
