// The registry. It is reachable from outside, because developers push images and Azure builds them. Access needs an
// Entra identity.
param location string
param name string
param suffix string
param tags object
param tier string
param workspaceId string

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' = {
  // checkov:skip=CKV_AZURE_139: developers push from outside, and az acr build runs outside; access needs an Entra identity
  // checkov:skip=CKV_AZURE_163: Defender for Cloud scans images; it is enabled for a subscription, not here
  // checkov:skip=CKV_AZURE_166: quarantine needs a scanner that releases images; see above
  name: 'cr${name}${suffix}'
  location: location
  tags: tags
  sku: {
    name: tier
  }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    publicNetworkAccess: 'Enabled'
    zoneRedundancy: tier == 'Premium' ? 'Enabled' : 'Disabled'
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: registry
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

output name string = registry.name
output server string = registry.properties.loginServer
