// The cluster: Cilium for addresses and network policies, KEDA, secrets from the vault, and only Entra accounts.
param location string
param name string
param suffix string
param tags object
param zones array
param tier string
param version string
param administratorObjectId string
param apiServerSources array
param networkName string
param nodeSubnetId string
param systemNodeSize string
param systemNodes int
param nodeSize string
param nodesMin int
param nodesMax int
param registryName string
param workspaceId string
param containerLogs bool
param containerLogsRuleId string
param managedPrometheus bool
param managedPrometheusRuleId string

var networkContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4d97b98b-1d4f-4787-a291-c67834d212e7')
var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')
var clusterAdmin = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b')

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' existing = {
  name: networkName
}

resource nodeSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-05-01' existing = {
  parent: network
  name: 'nodes'
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' existing = {
  name: registryName
}

// The identity of the cluster: it adds nodes and load balancers to the subnet.
resource controlPlane 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${name}-cluster'
  location: location
  tags: tags
}

resource mayUseNodeSubnet 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: nodeSubnet
  name: guid(nodeSubnet.id, controlPlane.id, networkContributor)
  properties: {
    roleDefinitionId: networkContributor
    principalId: controlPlane.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource cluster 'Microsoft.ContainerService/managedClusters@2025-05-01' = {
  // checkov:skip=CKV_AZURE_6: apiServerSources sets the ranges; without a range, only administrators with an Entra account have access
  // checkov:skip=CKV_AZURE_8: the dashboard add-on does not exist any more
  // checkov:skip=CKV_AZURE_172: it is on (enableSecretRotation); the check does not find it in an object
  // checkov:skip=CKV_AZURE_226: not every machine size supports an ephemeral system disk, and the size is a parameter
  // checkov:skip=CKV_AZURE_227: the subscription must first be registered for it (EncryptionAtHost); disks are always encrypted at rest
  name: 'aks-${name}-${suffix}'
  location: location
  tags: tags
  dependsOn: [
    mayUseNodeSubnet
  ]
  sku: {
    name: 'Base'
    tier: tier
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${controlPlane.id}': {}
    }
  }
  properties: {
    kubernetesVersion: empty(version) ? null : version
    dnsPrefix: name
    nodeResourceGroup: '${resourceGroup().name}-nodes'
    enableRBAC: true
    disableLocalAccounts: true
    aadProfile: {
      managed: true
      enableAzureRBAC: true
      tenantID: subscription().tenantId
    }
    apiServerAccessProfile: empty(apiServerSources) ? {} : {
      authorizedIPRanges: apiServerSources
    }
    autoUpgradeProfile: {
      upgradeChannel: 'patch'
      nodeOSUpgradeChannel: 'NodeImage'
    }
    oidcIssuerProfile: {
      enabled: true
    }
    securityProfile: {
      workloadIdentity: {
        enabled: true
      }
      imageCleaner: {
        enabled: true
        intervalHours: 168
      }
    }
    workloadAutoScalerProfile: {
      keda: {
        enabled: true
      }
    }
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      networkPolicy: 'cilium'
      podCidr: '10.244.0.0/16'
      serviceCidr: '10.245.0.0/16'
      dnsServiceIP: '10.245.0.10'
      loadBalancerSku: 'standard'
      outboundType: 'loadBalancer'
    }
    addonProfiles: {
      azureKeyvaultSecretsProvider: {
        enabled: true
        config: {
          enableSecretRotation: 'true'
          rotationPollInterval: '2m'
        }
      }
      azurepolicy: {
        enabled: true
      }
      omsagent: {
        enabled: containerLogs
        config: containerLogs ? {
          logAnalyticsWorkspaceResourceID: workspaceId
          useAADAuth: 'true'
        } : {}
      }
    }
    azureMonitorProfile: {
      metrics: {
        enabled: managedPrometheus
      }
    }
    agentPoolProfiles: [
      {
        // For the system pods of AKS. The pods of contacts run on the other pool.
        name: 'system'
        mode: 'System'
        count: systemNodes
        vmSize: systemNodeSize
        osType: 'Linux'
        osSKU: 'AzureLinux'
        type: 'VirtualMachineScaleSets'
        availabilityZones: zones
        vnetSubnetID: nodeSubnetId
        maxPods: 110
        nodeTaints: [
          'CriticalAddonsOnly=true:NoSchedule'
        ]
        upgradeSettings: {
          maxSurge: '33%'
        }
      }
    ]
  }
}

resource nodes 'Microsoft.ContainerService/managedClusters/agentPools@2025-05-01' = {
  // checkov:skip=CKV_AZURE_227: see above
  parent: cluster
  name: 'work'
  properties: {
    mode: 'User'
    count: nodesMin
    enableAutoScaling: true
    minCount: nodesMin
    maxCount: nodesMax
    vmSize: nodeSize
    osType: 'Linux'
    osSKU: 'AzureLinux'
    type: 'VirtualMachineScaleSets'
    availabilityZones: zones
    vnetSubnetID: nodeSubnetId
    maxPods: 110
    upgradeSettings: {
      maxSurge: '33%'
      // Longer than shutdown.grace and the shutdown of RabbitMQ.
      drainTimeoutInMinutes: 30
    }
  }
}

resource mayPull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, cluster.id, acrPull)
  properties: {
    roleDefinitionId: acrPull
    principalId: cluster.properties.identityProfile.kubeletidentity.objectId
    principalType: 'ServicePrincipal'
  }
}

resource administrator 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: cluster
  name: guid(cluster.id, administratorObjectId, clusterAdmin)
  properties: {
    roleDefinitionId: clusterAdmin
    principalId: administratorObjectId
  }
}

resource containerLogsAssociation 'Microsoft.Insights/dataCollectionRuleAssociations@2023-03-11' = if (containerLogs) {
  scope: cluster
  name: 'ContainerInsightsExtension'
  properties: {
    dataCollectionRuleId: containerLogsRuleId
  }
}

resource metricsAssociation 'Microsoft.Insights/dataCollectionRuleAssociations@2023-03-11' = if (managedPrometheus) {
  scope: cluster
  name: 'ContainerInsightsMetricsExtension'
  properties: {
    dataCollectionRuleId: managedPrometheusRuleId
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: cluster
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'kube-audit-admin'
        enabled: true
      }
      {
        category: 'guard'
        enabled: true
      }
      {
        category: 'cluster-autoscaler'
        enabled: true
      }
    ]
  }
}

output name string = cluster.name
output issuer string = cluster.properties.oidcIssuerProfile.issuerURL
