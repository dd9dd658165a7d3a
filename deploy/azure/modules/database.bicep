// PostgreSQL: only in the virtual network, only with TLS. The roles use the login `contacts`.
param location string
param serverName string
param tags object
param version string
param tier string
param size string
param storageGB int
param highAvailability string
param backupRetentionDays int
param geoRedundantBackup bool
param subnetId string
param zoneId string
param workspaceId string
@secure()
param password string

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: serverName
  location: location
  tags: tags
  sku: {
    name: size
    tier: tier
  }
  properties: {
    version: version
    administratorLogin: 'contacts'
    // An empty value keeps the current password.
    administratorLoginPassword: empty(password) ? null : password
    authConfig: {
      activeDirectoryAuth: 'Disabled'
      passwordAuth: 'Enabled'
    }
    network: {
      delegatedSubnetResourceId: subnetId
      privateDnsZoneArmResourceId: zoneId
    }
    highAvailability: {
      mode: highAvailability
    }
    storage: {
      storageSizeGB: storageGB
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: backupRetentionDays
      geoRedundantBackup: geoRedundantBackup ? 'Enabled' : 'Disabled'
    }
    maintenanceWindow: {
      customWindow: 'Enabled'
      dayOfWeek: 0
      startHour: 6
      startMinute: 0
    }
  }
}

resource contacts 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2024-08-01' = {
  parent: server
  name: 'contacts'
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

// One after the other, because the server accepts only one change at a time.
resource tls 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'require_secure_transport'
  dependsOn: [
    contacts
  ]
  properties: {
    value: 'on'
    source: 'user-override'
  }
}

resource tlsVersion 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'ssl_min_protocol_version'
  dependsOn: [
    tls
  ]
  properties: {
    value: 'TLSv1.2'
    source: 'user-override'
  }
}

// The migration for the search creates this extension.
resource extensions 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'azure.extensions'
  dependsOn: [
    tlsVersion
  ]
  properties: {
    value: 'PG_TRGM'
    source: 'user-override'
  }
}

// Less log for each first change of a page after a checkpoint, and fewer checkpoints: docs/adr/0022-ten-million-contacts.md.
resource walCompression 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'wal_compression'
  dependsOn: [
    extensions
  ]
  properties: {
    value: 'lz4'
    source: 'user-override'
  }
}

// In MB.
resource walSize 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'max_wal_size'
  dependsOn: [
    walCompression
  ]
  properties: {
    value: '8192'
    source: 'user-override'
  }
}

// In seconds.
resource checkpoints 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'checkpoint_timeout'
  dependsOn: [
    walSize
  ]
  properties: {
    value: '900'
    source: 'user-override'
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: server
  name: 'logs'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'PostgreSQLLogs'
        enabled: true
      }
    ]
  }
}

output host string = server.properties.fullyQualifiedDomainName
output user string = server.properties.administratorLogin
