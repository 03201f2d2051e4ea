# The ledger. Keys and indexes are those of src/adapters/store/dynamodb-table.ts.
resource "aws_dynamodb_table" "ledger" {
  name                        = var.deployment
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection

  dynamic "attribute" {
    for_each = { pk = "S", sk = "S", active = "S", fleet = "S", ended = "S", endedAt = "N", provider = "S" }
    content {
      name = attribute.key
      type = attribute.value
    }
  }

  global_secondary_index {
    name            = "active"
    hash_key        = "active"
    range_key       = "fleet"
    projection_type = "KEYS_ONLY"
  }
  global_secondary_index {
    name            = "ended"
    hash_key        = "ended"
    range_key       = "endedAt"
    projection_type = "ALL"
  }
  global_secondary_index {
    name            = "provider"
    hash_key        = "provider"
    projection_type = "ALL"
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
  server_side_encryption {
    enabled = true
  }
}
