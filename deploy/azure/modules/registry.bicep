// The registry. It is reached from outside, because people push and Azure builds; nobody without an Entra identity can.
param location string
param name string
param suffix string
param tags object
param tier string
param workspaceId string

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' = {
  // checkov:skip=CKV_AZURE_139: people push from outside, and az acr build runs outside; only identities of Entra get in
  // checkov:skip=CKV_AZURE_163: scanning is Defender for Cloud, which is chosen for a subscription, not here
  // checkov:skip=CKV_AZURE_166: quarantine needs a scanner that lets images out of it; see above
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
