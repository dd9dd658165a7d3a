// Everything that contacts needs in Azure, in one resource group. deploy/azure/up deploys it; docs/DEPLOY.md explains it.
//
// The rules: no password is a plain parameter or an output; what holds data or secrets is reached only from the virtual
// network; whoever needs a right has it on that one thing.
targetScope = 'resourceGroup'

@description('Where everything is.')
param location string = resourceGroup().location

@description('The beginning of every name.')
@minLength(3)
@maxLength(8)
param name string = 'contacts'

@description('Tags of every resource.')
param tags object = {
  application: 'contacts'
}

@description('Availability zones of the region; an empty list where it has none.')
param zones array = [
  '1'
  '2'
  '3'
]

// ---- the network ----------------------------------------------------------------------------------------------------

@description('The first two numbers of all addresses of the virtual network.')
param networkPrefix string = '10.20'

@description('The range of addresses from which Grafana may be reached at its public address. This one is nobody\'s.')
param grafanaVisitors string = '203.0.113.0/24'

// ---- the cluster ----------------------------------------------------------------------------------------------------

@description('Object id of the user or group that administers the cluster.')
param administratorObjectId string

@description('Address ranges from which the API of Kubernetes may be reached; none leaves it to Entra ID alone.')
param apiServerSources array = []

@description('Version of Kubernetes, such as 1.33; empty takes the default of AKS.')
param kubernetesVersion string = ''

@description('Free has no promise of availability for the API of Kubernetes.')
@allowed([
  'Free'
  'Standard'
])
param clusterTier string = 'Standard'

param systemNodeSize string = 'Standard_D2s_v5'
param systemNodes int = 2
param nodeSize string = 'Standard_D4s_v5'

@description('At least 3, so that each of three RabbitMQ nodes has a machine of its own.')
@minValue(3)
param nodesMin int = 3
param nodesMax int = 6

@description('The service accounts, in the namespace contacts, whose pods may read the vault.')
param serviceAccounts array = [
  'contacts'
  'grafana'
  'postgres-exporter'
]

@description('Send what containers write to Log Analytics.')
param containerLogs bool = true

@description('Azure\'s own Prometheus beside ours.')
param managedPrometheus bool = false

// ---- the database ---------------------------------------------------------------------------------------------------

@description('Tested with 15.')
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

@description('A second server that takes over. Burstable has none.')
@allowed([
  'Disabled'
  'SameZone'
  'ZoneRedundant'
])
param databaseHighAvailability string = 'ZoneRedundant'

@minValue(7)
@maxValue(35)
param backupRetentionDays int = 14

@description('Keep a copy of the backups in the paired region. Can only be chosen when the server is made.')
param geoRedundantBackup bool = false

// ---- the gateway ----------------------------------------------------------------------------------------------------

@description('Only tiers that can reach a private network. quota-by-key exists in Developer and Premium, elsewhere a quota for each subscription.')
@allowed([
  'Developer'
  'Premium'
  'StandardV2'
  'PremiumV2'
])
param gatewayTier string = 'Developer'
param gatewayUnits int = 1
param publisherName string = 'contacts'

@description('Where Azure sends mail about the gateway.')
param publisherEmail string

@description('How many requests a client may send in a minute.')
param callsPerMinute int = 600

@description('How many requests a client may send in a day.')
param callsPerDay int = 200000

@description('Check tokens, too: the address of the OpenID configuration of who issues them. Empty checks subscription keys only.')
param jwtOpenIdConfigUrl string = ''

@description('The audience that tokens must name.')
param jwtAudience string = ''

// ---- secrets; deploy/azure/up makes them, an empty one leaves what is there -----------------------------------------

@secure()
param databasePassword string = ''
@secure()
param apiKey string = ''
@secure()
param grafanaPassword string = ''

@description('Certificate and key of Grafana, PEM.')
@secure()
param grafanaCertificate string = ''

@description('Have a deleted vault back, with its secrets.')
param recoverVault bool = false

@description('The tier of the registry; private endpoints and zones need Premium.')
@allowed([
  'Basic'
  'Standard'
  'Premium'
])
param registryTier string = 'Standard'

// ---------------------------------------------------------------------------------------------------------------------

var suffix = uniqueString(resourceGroup().id)
var databaseServerName = 'psql-${name}-${suffix}'
// Known before the server is there, because its secret must be, too.
var databaseHost = '${databaseServerName}.postgres.database.azure.com'
// Of the subnet `nodes`, at an end that nodes do not reach; overlays/aks gives it to the Service contacts-producer.
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

// After the secrets: a password that only the database knew would be lost.
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

// What deploy/lib and docs/DEPLOY.md ask for.
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
