// The virtual network: the subnets, their security rules, and the private DNS zones.
param location string
param name string
param tags object
param prefix string
@description('The gateway runs in the network, and does not only connect to it.')
param classicGateway bool
param grafanaVisitors string

var nodes = '${prefix}.0.0/22'
var gateway = '${prefix}.8.0/24'
var database = '${prefix}.9.0/27'
var endpoints = '${prefix}.10.0/27'

// The default rules of every group allow traffic between pods, nodes and the gateway. No other traffic comes in.
resource nodeRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${name}-nodes'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'grafana'
        properties: {
          description: 'Grafana at its public address, with TLS'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: grafanaVisitors
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '443'
        }
      }
    ]
  }
}

// https://learn.microsoft.com/azure/api-management/virtual-network-reference
var classicGatewayRules = [
  {
    name: 'clients'
    properties: {
      priority: 100
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: 'Internet'
      sourcePortRange: '*'
      destinationAddressPrefix: 'VirtualNetwork'
      destinationPortRange: '443'
    }
  }
  {
    name: 'management'
    properties: {
      priority: 110
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: 'ApiManagement'
      sourcePortRange: '*'
      destinationAddressPrefix: 'VirtualNetwork'
      destinationPortRange: '3443'
    }
  }
  {
    name: 'balancer'
    properties: {
      priority: 120
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: 'AzureLoadBalancer'
      sourcePortRange: '*'
      destinationAddressPrefix: 'VirtualNetwork'
      destinationPortRange: '6390'
    }
  }
]

resource gatewayRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${name}-gateway'
  location: location
  tags: tags
  properties: {
    securityRules: classicGateway ? classicGatewayRules : []
  }
}

resource databaseRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${name}-database'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'pods-and-standby'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefixes: [
            nodes
            database
          ]
          sourcePortRange: '*'
          destinationAddressPrefix: database
          destinationPortRanges: [
            '5432'
            '6432'
          ]
        }
      }
      {
        name: 'nobody-else'
        properties: {
          priority: 200
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource endpointRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${name}-endpoints'
  location: location
  tags: tags
  properties: {
    securityRules: []
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        '${prefix}.0.0/16'
      ]
    }
    subnets: [
      {
        name: 'nodes'
        properties: {
          addressPrefix: nodes
          networkSecurityGroup: {
            id: nodeRules.id
          }
        }
      }
      {
        name: 'gateway'
        properties: {
          addressPrefix: gateway
          networkSecurityGroup: {
            id: gatewayRules.id
          }
          serviceEndpoints: classicGateway ? [
            {
              service: 'Microsoft.KeyVault'
            }
          ] : []
          delegations: classicGateway ? [] : [
            {
              name: 'gateway'
              properties: {
                serviceName: 'Microsoft.Web/serverFarms'
              }
            }
          ]
        }
      }
      {
        name: 'database'
        properties: {
          addressPrefix: database
          networkSecurityGroup: {
            id: databaseRules.id
          }
          delegations: [
            {
              name: 'database'
              properties: {
                serviceName: 'Microsoft.DBforPostgreSQL/flexibleServers'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpoints
          networkSecurityGroup: {
            id: endpointRules.id
          }
        }
      }
    ]
  }
}

resource databaseZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: '${name}.private.postgres.database.azure.com'
  location: 'global'
  tags: tags
}

resource databaseZoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: databaseZone
  name: 'vnet'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

resource vaultZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.vaultcore.azure.net'
  location: 'global'
  tags: tags
}

resource vaultZoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: vaultZone
  name: 'vnet'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

output name string = network.name
output nodeSubnetId string = '${network.id}/subnets/nodes'
output gatewaySubnetId string = '${network.id}/subnets/gateway'
output databaseSubnetId string = '${network.id}/subnets/database'
output endpointSubnetId string = '${network.id}/subnets/endpoints'
output databaseZoneId string = databaseZone.id
output vaultZoneId string = vaultZone.id
