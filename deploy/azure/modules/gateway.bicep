// The gateway: the only access from outside. It checks the subscription key, limits each client, and sends its own API
// key to the service.
param location string
param name string
param suffix string
param tags object
param tier string
param units int
param zones array
param publisherName string
param publisherEmail string
param subnetId string
param producerAddress string
param vaultName string
param callsPerMinute int
param callsPerDay int
param jwtOpenIdConfigUrl string
param jwtAudience string
param workspaceId string

// Developer and Premium run in the subnet. The tiers of version 2 connect to it.
var classic = contains([
  'Developer'
  'Premium'
], tier)
var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource apiKeys 'Microsoft.KeyVault/vaults/secrets@2024-11-01' existing = {
  parent: vault
  name: 'api-keys'
}

resource address 'Microsoft.Network/publicIPAddresses@2024-05-01' = if (classic) {
  name: 'pip-${name}-gateway'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  zones: zones
  properties: {
    publicIPAllocationMethod: 'Static'
    dnsSettings: {
      domainNameLabel: 'apim-${name}-${suffix}'
    }
  }
}

// Disable old protocols and ciphers. The tiers of version 2 do not have these settings.
var protocols = {
  'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Tls10': 'false'
  'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Tls11': 'false'
  'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Ssl30': 'false'
  'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Backend.Protocols.Tls10': 'false'
  'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Backend.Protocols.Tls11': 'false'
  'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Backend.Protocols.Ssl30': 'false'
  'Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Ciphers.TripleDes168': 'false'
}

resource service 'Microsoft.ApiManagement/service@2024-05-01' = {
  // checkov:skip=CKV_AZURE_174: clients use this gateway; the service behind it is private
  name: 'apim-${name}-${suffix}'
  location: location
  tags: tags
  sku: {
    name: tier
    capacity: units
  }
  // Only the tier Premium supports several zones.
  zones: tier == 'Premium' && units > 1 ? take(zones, units) : null
  // System-assigned, because the vault's firewall allows no other identity of a gateway.
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    publisherName: publisherName
    publisherEmail: publisherEmail
    virtualNetworkType: 'External'
    virtualNetworkConfiguration: {
      subnetResourceId: subnetId
    }
    publicIpAddressId: classic ? address.id : null
    customProperties: classic ? protocols : null
  }
}

// The gateway may read only this secret.
resource mayReadKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: apiKeys
  name: guid(apiKeys.id, service.id, secretsUser)
  properties: {
    roleDefinitionId: secretsUser
    principalId: service.identity.principalId
    principalType: 'ServicePrincipal'
  }
}

resource key 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = {
  parent: service
  name: 'contacts-api-key'
  dependsOn: [
    mayReadKey
  ]
  properties: {
    displayName: 'contacts-api-key'
    secret: true
    keyVault: {
      secretIdentifier: '${vault.properties.vaultUri}secrets/api-keys'
    }
  }
}

resource perMinute 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = {
  parent: service
  name: 'contacts-calls-per-minute'
  properties: {
    displayName: 'contacts-calls-per-minute'
    value: string(callsPerMinute)
  }
}

resource perDay 'Microsoft.ApiManagement/service/namedValues@2024-05-01' = {
  parent: service
  name: 'contacts-calls-per-day'
  properties: {
    displayName: 'contacts-calls-per-day'
    value: string(callsPerDay)
  }
}

resource producer 'Microsoft.ApiManagement/service/backends@2024-05-01' = {
  parent: service
  name: 'contacts-producer'
  properties: {
    description: 'The internal load balancer of the producers'
    protocol: 'http'
    url: 'http://${producerAddress}'
  }
}

resource api 'Microsoft.ApiManagement/service/apis@2024-05-01' = {
  parent: service
  name: 'contacts'
  properties: {
    displayName: 'contacts'
    path: ''
    protocols: [
      'https'
    ]
    subscriptionRequired: true
    // The same header name as in the service.
    subscriptionKeyParameterNames: {
      header: 'X-API-Key'
      query: 'api-key'
    }
    format: 'openapi+json'
    value: loadTextContent('../gateway/openapi.json')
    serviceUrl: 'http://${producerAddress}'
  }
}

var quota = classic ? loadTextContent('../gateway/quota-by-key.xml') : ''
var jwt = empty(jwtOpenIdConfigUrl) ? '' : replace(replace(loadTextContent('../gateway/jwt.xml'), '__OPENID_CONFIG_URL__', jwtOpenIdConfigUrl), '__AUDIENCE__', jwtAudience)

resource policy 'Microsoft.ApiManagement/service/apis/policies@2024-05-01' = {
  parent: api
  name: 'policy'
  dependsOn: [
    key
    perMinute
    perDay
    producer
  ]
  properties: {
    format: 'xml'
    value: replace(replace(loadTextContent('../gateway/policy.xml'), '<!-- JWT -->', jwt), '<!-- QUOTA -->', quota)
  }
}

resource product 'Microsoft.ApiManagement/service/products@2024-05-01' = {
  parent: service
  name: 'contacts'
  properties: {
    displayName: 'contacts'
    description: 'Stores contacts. A change that was answered with 202 is never lost.'
    state: 'published'
    subscriptionRequired: true
    approvalRequired: true
    subscriptionsLimit: 10
  }
}

resource productApi 'Microsoft.ApiManagement/service/products/apis@2024-05-01' = {
  parent: product
  name: 'contacts'
  dependsOn: [
    api
  ]
}

// The tiers of version 2 do not support quota-by-key.
resource productQuota 'Microsoft.ApiManagement/service/products/policies@2024-05-01' = if (!classic) {
  parent: product
  name: 'policy'
  dependsOn: [
    perDay
    productApi
  ]
  properties: {
    format: 'xml'
    value: loadTextContent('../gateway/quota.xml')
  }
}

// A first client. The gateway generates its keys; they are not outputs.
resource firstClient 'Microsoft.ApiManagement/service/subscriptions@2024-05-01' = {
  parent: service
  name: 'first-client'
  dependsOn: [
    productApi
  ]
  properties: {
    displayName: 'first client'
    scope: product.id
    state: 'active'
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: service
  name: 'logs'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'GatewayLogs'
        enabled: true
      }
    ]
  }
}

output name string = service.name
output url string = service.properties.gatewayUrl
