# One reading role: exactly the records it was given, the epoch of its deployment, and its own token. No globs: a prefix
# is not a segment. The first block is repeated for each secret.
path "donjon/data/{deployment}/{secret}" {
  capabilities = ["read"]
}

path "donjon/data/donjon-public/{deployment}/epoch" {
  capabilities = ["read"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
