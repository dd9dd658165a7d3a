# shellcheck shell=bash
# What the scripts of the deployment share; sourced, never run. They are run by deploy.mk, which sets all variables.
#
# The rule: whatever a script changes outside goes through `run`, which prints it; only a question whether something is
# there may be asked silently. deploy/azure/check records every command of every target, either kind.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly DEPLOYMENT=contacts # the name of the deployment in Azure, whose outputs say what was made
readonly ME="${0##*/}${1:+ $1}"

say() {
    printf '%s\n' "$*" >&2
}

# One line that says what is missing and what to do about it.
die() {
    say "$ME: $*"
    exit 1
}

# Prints a command as one could type it, then runs it.
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
    [[ -t 0 ]] || die "nobody is there to answer \"$1\": run it at a terminal, or with YES=1"
    local answer
    read -r -p "$1 [y/N] " answer
    [[ $answer == [yY]* ]] || die 'nothing was done'
}

# The tag of the image: TAG, else the commit that is checked out.
tag() {
    if [[ -n ${TAG:-} ]]; then
        printf '%s' "$TAG"
        return
    fi
    need git 'or set TAG'
    git describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null || die 'this is no git work tree: set TAG'
}

# azure_outputs NAME...: what azure-up made, a line for each name.
azure_outputs() {
    local query=() name
    for name; do query+=("properties.outputs.$name.value"); done
    local IFS=,
    az deployment group show --resource-group "$RESOURCE_GROUP" --name "$DEPLOYMENT" \
        --query "[${query[*]}]" --output tsv 2>/dev/null ||
        die "no deployment '$DEPLOYMENT' in resource group '$RESOURCE_GROUP': run make azure-up, or set RESOURCE_GROUP"
}
