// Log storage and log collection. The Prometheus in the cluster collects the metrics; Azure's Prometheus is optional.
param location string
param name string
param suffix string
param tags object
param containerLogs bool
param managedPrometheus bool

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-${name}-${suffix}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
  }
}

// The output of containers and the events of Kubernetes, no metrics.
var containerStreams = [
  'Microsoft-ContainerLogV2'
  'Microsoft-KubeEvents'
]

resource containerLogsRule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = if (containerLogs) {
  name: 'dcr-${name}-containers'
  location: location
  tags: tags
  kind: 'Linux'
  properties: {
    dataSources: {
      extensions: [
        {
          name: 'ContainerInsightsExtension'
          extensionName: 'ContainerInsights'
          streams: containerStreams
          extensionSettings: {
            dataCollectionSettings: {
              interval: '1m'
              namespaceFilteringMode: 'Include'
              namespaces: [
                'contacts'
              ]
              enableContainerLogV2: true
            }
          }
        }
      ]
    }
    destinations: {
      logAnalytics: [
        {
          name: 'workspace'
          workspaceResourceId: workspace.id
        }
      ]
    }
    dataFlows: [
      {
        streams: containerStreams
        destinations: [
          'workspace'
        ]
      }
    ]
  }
}

resource metrics 'Microsoft.Monitor/accounts@2023-04-03' = if (managedPrometheus) {
  name: 'amw-${name}-${suffix}'
  location: location
  tags: tags
}

resource metricsEndpoint 'Microsoft.Insights/dataCollectionEndpoints@2023-03-11' = if (managedPrometheus) {
  name: 'dce-${name}-metrics'
  location: location
  tags: tags
  kind: 'Linux'
  properties: {}
}

resource metricsRule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = if (managedPrometheus) {
  name: 'dcr-${name}-metrics'
  location: location
  tags: tags
  kind: 'Linux'
  properties: {
    dataCollectionEndpointId: metricsEndpoint.id
    dataSources: {
      prometheusForwarder: [
        {
          name: 'PrometheusDataSource'
          streams: [
            'Microsoft-PrometheusMetrics'
          ]
        }
      ]
    }
    destinations: {
      monitoringAccounts: [
        {
          name: 'account'
          accountResourceId: metrics.id
        }
      ]
    }
    dataFlows: [
      {
        streams: [
          'Microsoft-PrometheusMetrics'
        ]
        destinations: [
          'account'
        ]
      }
    ]
  }
}

output workspaceId string = workspace.id
output containerLogsRuleId string = containerLogs ? containerLogsRule.id : ''
output managedPrometheusRuleId string = managedPrometheus ? metricsRule.id : ''
