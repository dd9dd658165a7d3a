// What is in the vault. A secret whose value is not given stays as it is. They are written through Azure's management API,
// so whoever deploys needs no way into the virtual network. RabbitMQ's password is not here: its operator makes it.
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

// database.url; the file of authorities is the one in our image.
resource databaseUrl 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(databasePassword)) {
  parent: vault
  name: 'database-url'
  properties: {
    contentType: 'text/plain'
    value: 'postgres://contacts:${databasePassword}@${databaseHost}:5432/contacts?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt'
  }
}

// The same password alone, for what reads PostgreSQL's own metrics.
resource databasePasswordAlone 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(databasePassword)) {
  parent: vault
  name: 'database-password'
  properties: {
    contentType: 'text/plain'
    value: databasePassword
  }
}

// http.api_keys: one key, which the gateway sends.
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

// Certificate and key in one.
resource grafanaTls 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(grafanaCertificate)) {
  parent: vault
  name: 'grafana-tls'
  properties: {
    contentType: 'application/x-pem-file'
    value: grafanaCertificate
  }
}
