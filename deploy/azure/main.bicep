// All Azure resources of contacts, in one resource group. deploy/azure/up deploys them; docs/DEPLOY.md explains them.
//
// Rules: no password is a plain parameter or an output. Resources with data or secrets are reachable only from the
// virtual network. Each identity has rights only on the resources that it needs.
targetScope = 'resourceGroup'

@description('The region of all resources.')
param location string = resourceGroup().location

@description('The prefix of every name.')
@minLength(3)
@maxLength(8)
param name string = 'contacts'

@description('The tags of every resource.')
param tags object = {
  application: 'contacts'
}

@description('The availability zones of the region, or an empty list if it has none.')
param zones array = [
  '1'
  '2'
  '3'
]

// ---- the network ----------------------------------------------------------------------------------------------------

@description('The first two numbers of every address in the virtual network.')
param networkPrefix string = '10.20'

@description('The address range that may open Grafana at its public address. The default is a documentation range.')
param grafanaVisitors string = '203.0.113.0/24'

// ---- the cluster ----------------------------------------------------------------------------------------------------

@description('The object id of the user or group that administers the cluster.')
param administratorObjectId string

@description('The address ranges that may reach the API of Kubernetes. Without a range, only Entra ID protects it.')
param apiServerSources array = []

@description('The version of Kubernetes, for example 1.33. Empty: the default of AKS.')
param kubernetesVersion string = ''

@description('The tier of the cluster. Free has no availability guarantee for the API of Kubernetes.')
@allowed([
  'Free'
  'Standard'
])
param clusterTier string = 'Standard'

param systemNodeSize string = 'Standard_D2s_v5'
param systemNodes int = 2
param nodeSize string = 'Standard_D4s_v5'

@description('The number of nodes. At least 3, so that each of the three RabbitMQ nodes has its own machine.')
@minValue(3)
param nodesMin int = 3
param nodesMax int = 6

@description('The service accounts of the namespace contacts whose pods may read the vault.')
param serviceAccounts array = [
  'contacts'
  'grafana'
  'postgres-exporter'
]

@description('Send the logs of containers to Log Analytics.')
param containerLogs bool = true

@description('Use Azure\'s managed Prometheus in addition to the Prometheus in the cluster.')
param managedPrometheus bool = false

// ---- the database ---------------------------------------------------------------------------------------------------

@description('The version of PostgreSQL. Tested with 15.')
@allowed([
  '15'
  '16'
  '17'
])
param databaseVersion string = '15'

@allowed([
  'Burstable'
  'GeneralPurpose'
  'MemoryOptimized'
])
param databaseTier string = 'GeneralPurpose'
param databaseSize string = 'Standard_D2ds_v5'
param databaseStorageGB int = 64

@description('A standby server for failover. The tier Burstable does not support it.')
@allowed([
  'Disabled'
  'SameZone'
  'ZoneRedundant'
])
param databaseHighAvailability string = 'ZoneRedundant'

@minValue(7)
@maxValue(35)
param backupRetentionDays int = 14

@description('Keep a copy of the backups in the paired region. Can be set only when the server is created.')
param geoRedundantBackup bool = false

// ---- the gateway ----------------------------------------------------------------------------------------------------

@description('The tier of the gateway. Only tiers that can reach a private network. Developer and Premium have quota-by-key; the others have a quota for each subscription.')
@allowed([
  'Developer'
  'Premium'
  'StandardV2'
  'PremiumV2'
])
param gatewayTier string = 'Developer'
param gatewayUnits int = 1
param publisherName string = 'contacts'

@description('The e-mail address for messages about the gateway.')
param publisherEmail string

@description('The maximum number of requests of a client per minute.')
param callsPerMinute int = 600

@description('The maximum number of requests of a client per day.')
param callsPerDay int = 200000

@description('The URL of the OpenID configuration of the token issuer. Then the gateway also checks tokens. Empty: it checks only subscription keys.')
param jwtOpenIdConfigUrl string = ''

@description('The required audience of tokens.')
param jwtAudience string = ''

// ---- secrets; deploy/azure/up generates them; an empty value keeps the existing secret -------------------------------

@secure()
param databasePassword string = ''
@secure()
param apiKey string = ''
@secure()
param grafanaPassword string = ''

@description('The certificate and key of Grafana, PEM.')
@secure()
param grafanaCertificate string = ''

@description('Recover a deleted vault with its secrets.')
param recoverVault bool = false

@description('The tier of the registry. Private endpoints and zones need Premium.')
@allowed([
  'Basic'
  'Standard'
  'Premium'
])
param registryTier string = 'Standard'

// ---------------------------------------------------------------------------------------------------------------------

var suffix = uniqueString(resourceGroup().id)
var databaseServerName = 'psql-${name}-${suffix}'
// The name must be known before the server exists, because the secret with its URL is created first.
var databaseHost = '${databaseServerName}.postgres.database.azure.com'
// An address at the end of the subnet `nodes`, which nodes do not use. overlays/aks gives it to the Service
// contacts-producer.
var producerAddress = '${networkPrefix}.3.250'

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    location: location
    name: name
    suffix: suffix
    tags: tags
    containerLogs: containerLogs
    managedPrometheus: managedPrometheus
  }
}

module network 'modules/network.bicep' = {
  name: 'network'
  params: {
    location: location
    name: name
    tags: tags
    prefix: networkPrefix
    classicGateway: contains([
      'Developer'
      'Premium'
    ], gatewayTier)
    grafanaVisitors: grafanaVisitors
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    location: location
    name: name
    suffix: suffix
    tags: tags
    recover: recoverVault
    endpointSubnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.vaultZoneId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module secrets 'modules/secrets.bicep' = {
  name: 'secrets'
  params: {
    vaultName: vault.outputs.name
    databaseHost: databaseHost
    databasePassword: databasePassword
    apiKey: apiKey
    grafanaPassword: grafanaPassword
    grafanaCertificate: grafanaCertificate
  }
}

// After the secrets: otherwise a failed deployment could lose the password of the database.
module database 'modules/database.bicep' = {
  name: 'database'
  dependsOn: [
    secrets
  ]
  params: {
    location: location
    serverName: databaseServerName
    tags: tags
    version: databaseVersion
    tier: databaseTier
    size: databaseSize
    storageGB: databaseStorageGB
    highAvailability: databaseHighAvailability
    backupRetentionDays: backupRetentionDays
    geoRedundantBackup: geoRedundantBackup
    subnetId: network.outputs.databaseSubnetId
    zoneId: network.outputs.databaseZoneId
    workspaceId: monitoring.outputs.workspaceId
    password: databasePassword
  }
}

module registry 'modules/registry.bicep' = {
  name: 'registry'
  params: {
    location: location
    name: name
    suffix: suffix
    tags: tags
    tier: registryTier
    workspaceId: monitoring.outputs.workspaceId
  }
}

module cluster 'modules/cluster.bicep' = {
  name: 'cluster'
  params: {
    location: location
    name: name
    suffix: suffix
    tags: tags
    zones: zones
    tier: clusterTier
    version: kubernetesVersion
    administratorObjectId: administratorObjectId
    apiServerSources: apiServerSources
    networkName: network.outputs.name
    nodeSubnetId: network.outputs.nodeSubnetId
    systemNodeSize: systemNodeSize
    systemNodes: systemNodes
    nodeSize: nodeSize
    nodesMin: nodesMin
    nodesMax: nodesMax
    registryName: registry.outputs.name
    workspaceId: monitoring.outputs.workspaceId
    containerLogs: containerLogs
    containerLogsRuleId: monitoring.outputs.containerLogsRuleId
    managedPrometheus: managedPrometheus
    managedPrometheusRuleId: monitoring.outputs.managedPrometheusRuleId
  }
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: {
    location: location
    name: name
    tags: tags
    issuer: cluster.outputs.issuer
    serviceAccounts: serviceAccounts
    vaultName: vault.outputs.name
  }
}

module gateway 'modules/gateway.bicep' = {
  name: 'gateway'
  dependsOn: [
    secrets
  ]
  params: {
    location: location
    name: name
    suffix: suffix
    tags: tags
    tier: gatewayTier
    units: gatewayUnits
    zones: zones
    publisherName: publisherName
    publisherEmail: publisherEmail
    subnetId: network.outputs.gatewaySubnetId
    producerAddress: producerAddress
    vaultName: vault.outputs.name
    callsPerMinute: callsPerMinute
    callsPerDay: callsPerDay
    jwtOpenIdConfigUrl: jwtOpenIdConfigUrl
    jwtAudience: jwtAudience
    workspaceId: monitoring.outputs.workspaceId
  }
}

// The outputs that deploy/lib and docs/DEPLOY.md use.
output cluster string = cluster.outputs.name
output registry string = registry.outputs.name
output registryServer string = registry.outputs.server
output vault string = vault.outputs.name
output tenant string = subscription().tenantId
output workloadIdentity string = identity.outputs.clientId
output producerAddress string = producerAddress
output gateway string = gateway.outputs.name
output gatewayUrl string = gateway.outputs.url
output databaseHost string = database.outputs.host
output databaseUser string = database.outputs.user
output grafanaVisitors string = grafanaVisitors
