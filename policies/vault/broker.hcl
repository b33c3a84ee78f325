# donjon-broker: what the daemon may do in its Vault. Nothing here reaches another mount, another policy or another
# authentication method.
#
# Whoever writes policies and hands out credentials for them can in the end read what a policy can allow, so this page
# stops slips and not a daemon that has been taken over. The daemon can change neither this policy nor its own role, and
# the policies and roles it makes have names that begin with `donjon-reader-`.

# Records of all deployments, and Donjon's own folders beside them (donjon-private, donjon-public).
path "donjon/data/*" {
  capabilities = ["create", "read", "update"]
}

# Versions, and which there are. `delete` takes a whole record with all its versions: an aborted rotation's pending value.
path "donjon/metadata/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# A previous value is destroyed when its time has come, in KV's sense: not hidden, gone.
path "donjon/destroy/*" {
  capabilities = ["create", "update"]
}

# How many versions the mount keeps, and whether it insists on compare-and-set.
path "donjon/config" {
  capabilities = ["read", "create", "update"]
}

# `bao kv` and hvac look up the mount's version before they read.
path "sys/internal/ui/mounts/donjon/*" {
  capabilities = ["read"]
}

# One policy for each reading role, made from reader.hcl.
path "sys/policies/acl/donjon-reader-*" {
  capabilities = ["create", "read", "update", "delete"]
}

# One AppRole for each reading role, bound to one policy of that kind. The list of parameters is of the role and of what
# lies below it (secret-id, role-id, …), as a path can only end in a glob. A text with a comma would be a list of policies.
path "auth/approle/role/donjon-reader-*" {
  capabilities = ["create", "read", "update", "delete", "list"]
  allowed_parameters = {
    "token_policies"          = ["donjon-reader-*"]
    "token_no_default_policy" = []
    "token_ttl"               = []
    "token_max_ttl"           = []
    "token_period"            = []
    "token_num_uses"          = []
    "token_bound_cidrs"       = []
    "token_type"              = []
    "bind_secret_id"          = []
    "secret_id_ttl"           = []
    "secret_id_num_uses"      = []
    "secret_id_bound_cidrs"   = []
    "secret_id_accessor"      = []
    "cidr_list"               = []
    "metadata"                = []
    "ttl"                     = []
    "num_uses"                = []
  }
  denied_parameters = {
    "token_policies" = ["*,*"]
  }
}

path "auth/approle/role" {
  capabilities = ["list"]
}

# Its own role: a new secret-id for itself, and every other one destroyed.
path "auth/approle/role/donjon-broker/role-id" {
  capabilities = ["read"]
}

path "auth/approle/role/donjon-broker/secret-id" {
  capabilities = ["create", "update", "list"]
}

path "auth/approle/role/donjon-broker/secret-id-accessor/destroy" {
  capabilities = ["create", "update"]
}

# Its own token. Without the default policy these have to be said.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}

# `donjon export snapshot`: the Vault's own encrypted database. Nothing here restores one.
path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}

# The same, where the database has arrived: a login that is good there, which audit devices there are and which each
# server is configured with, and which voters.
path "auth/approle/role/donjon-successor/role-id" {
  capabilities = ["read"]
}

path "auth/approle/role/donjon-successor/secret-id" {
  capabilities = ["create", "update", "list"]
}

path "auth/approle/role/donjon-successor/secret-id-accessor/destroy" {
  capabilities = ["create", "update"]
}

path "sys/audit" {
  capabilities = ["read", "sudo"]
}

path "sys/config/state/sanitized" {
  capabilities = ["read"]
}

path "sys/storage/raft/configuration" {
  capabilities = ["read"]
}

# What was handed out is revoked, there and by `donjon down`: by accessors, which open nothing.
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}

path "auth/token/accessors/" {
  capabilities = ["list", "sudo"]
}

path "auth/token/revoke-accessor" {
  capabilities = ["create", "update"]
}

# `donjon rotate broker`: a new barrier key, and new unseal shares from the old ones.
path "sys/rotate" {
  capabilities = ["update", "sudo"]
}

path "sys/rotate/keyring" {
  capabilities = ["update", "sudo"]
}

path "sys/rotate/root/init" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}

path "sys/rotate/root/update" {
  capabilities = ["create", "update", "sudo"]
}

path "sys/rotate/root/verify" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}

path "sys/key-status" {
  capabilities = ["read"]
}

# `donjon down` seals before it ends the server.
path "sys/seal" {
  capabilities = ["update", "sudo"]
}
