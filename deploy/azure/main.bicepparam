// Example parameters, with the settings that cost most. Copy the file, or set PARAMETERS to another file. main.bicep
// has all parameters.
using './main.bicep'

// The e-mail address for messages about the gateway.
param publisherEmail = readEnvironmentVariable('CONTACTS_PUBLISHER_EMAIL', 'contacts@example.com')

// Developer is for tests only: one machine, no availability guarantee. For production: Premium, StandardV2 or
// PremiumV2.
param gatewayTier = 'Developer'

param databaseTier = 'GeneralPurpose'
param databaseSize = 'Standard_D2ds_v5'
param databaseHighAvailability = 'ZoneRedundant'

param nodeSize = 'Standard_D4s_v5'
param nodesMin = 3
param nodesMax = 6

// The address range that may open Grafana at its public address. This value is a documentation range.
param grafanaVisitors = '203.0.113.0/24'

// deploy/azure/up sets these values: secrets, and values that are known only at the deployment. Empty: keep the secret.
param administratorObjectId = readEnvironmentVariable('CONTACTS_ADMINISTRATOR_ID')
param databasePassword = readEnvironmentVariable('CONTACTS_DATABASE_PASSWORD', '')
param apiKey = readEnvironmentVariable('CONTACTS_API_KEY', '')
param grafanaPassword = readEnvironmentVariable('CONTACTS_GRAFANA_PASSWORD', '')
param grafanaCertificate = readEnvironmentVariable('CONTACTS_GRAFANA_CERTIFICATE', '')
param recoverVault = readEnvironmentVariable('CONTACTS_RECOVER_VAULT', '') == 'true'
