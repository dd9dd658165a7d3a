// An example: what costs most is here. Copy it, or name another file with PARAMETERS. main.bicep says what else there is.
using './main.bicep'

// Where Azure sends mail about the gateway.
param publisherEmail = readEnvironmentVariable('CONTACTS_PUBLISHER_EMAIL', 'contacts@example.com')

// Developer is for trying out: one machine, no promise of availability. Premium, StandardV2 and PremiumV2 are for production.
param gatewayTier = 'Developer'

param databaseTier = 'GeneralPurpose'
param databaseSize = 'Standard_D2ds_v5'
param databaseHighAvailability = 'ZoneRedundant'

param nodeSize = 'Standard_D4s_v5'
param nodesMin = 3
param nodesMax = 6

// Whoever may open Grafana at its public address, as a range of addresses. This one is nobody's.
param grafanaVisitors = '203.0.113.0/24'

// deploy/azure/up sets these; they are secrets, or known only when it runs. Empty leaves a secret as it is.
param administratorObjectId = readEnvironmentVariable('CONTACTS_ADMINISTRATOR_ID')
param databasePassword = readEnvironmentVariable('CONTACTS_DATABASE_PASSWORD', '')
param apiKey = readEnvironmentVariable('CONTACTS_API_KEY', '')
param grafanaPassword = readEnvironmentVariable('CONTACTS_GRAFANA_PASSWORD', '')
param grafanaCertificate = readEnvironmentVariable('CONTACTS_GRAFANA_CERTIFICATE', '')
param recoverVault = readEnvironmentVariable('CONTACTS_RECOVER_VAULT', '') == 'true'
