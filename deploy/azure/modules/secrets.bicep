// The secrets in the vault. A secret without a new value does not change. Azure's management API writes the secrets, so
// the deployment needs no access to the virtual network. RabbitMQ's password is not here, because its operator
// generates it.
param vaultName string
param databaseHost string
@secure()
param databasePassword string
@secure()
param apiKey string
@secure()
param grafanaPassword string
@secure()
param grafanaCertificate string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

// database.url. The file with the CA certificates is in the image of contacts.
resource databaseUrl 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(databasePassword)) {
  parent: vault
  name: 'database-url'
  properties: {
    contentType: 'text/plain'
    value: 'postgres://contacts:${databasePassword}@${databaseHost}:5432/contacts?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt'
  }
}

// The same password without the URL, for the PostgreSQL exporter.
resource databasePasswordAlone 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(databasePassword)) {
  parent: vault
  name: 'database-password'
  properties: {
    contentType: 'text/plain'
    value: databasePassword
  }
}

// http.api_keys: one key, for the gateway.
resource apiKeys 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(apiKey)) {
  parent: vault
  name: 'api-keys'
  properties: {
    contentType: 'text/plain'
    value: apiKey
  }
}

resource grafanaAdminPassword 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(grafanaPassword)) {
  parent: vault
  name: 'grafana-admin-password'
  properties: {
    contentType: 'text/plain'
    value: grafanaPassword
  }
}

// Certificate and key in one secret.
resource grafanaTls 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(grafanaCertificate)) {
  parent: vault
  name: 'grafana-tls'
  properties: {
    contentType: 'application/x-pem-file'
    value: grafanaCertificate
  }
}
