// The identity of the pods in Azure. Pods of the given service accounts use it to read the vault.
param location string
param name string
param tags object
param issuer string
param serviceAccounts array
param vaultName string

var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${name}'
  location: location
  tags: tags
}

// One after the other, because an identity accepts only one change at a time.
@batchSize(1)
resource trust 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = [for account in serviceAccounts: {
  parent: identity
  name: account
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:contacts:${account}'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}]

resource mayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, identity.id, secretsUser)
  properties: {
    roleDefinitionId: secretsUser
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

output clientId string = identity.properties.clientId
