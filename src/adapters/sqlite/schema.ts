/** Written into the file's header, so that no other program's database is taken for ours: "mayf". */
export const applicationId = 0x6d617966;

/**
 * The tables. Entry `n` brings a file from version `n` to `n + 1`; the file's `user_version` says how many have
 * been run. Never change an entry that was released: append one.
 *
 * Entries of the ledger are JSON documents beside the columns that are searched. Active and ended ones share a
 * table; the partial indexes keep the active ones as quick to find among many ended ones as among few.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE fleets (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    record TEXT
  ) STRICT;

  CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    fleet TEXT NOT NULL,
    ended_at INTEGER,
    document TEXT NOT NULL
  ) STRICT;
  CREATE INDEX jobs_active ON jobs (fleet) WHERE ended_at IS NULL;
  CREATE INDEX jobs_ended ON jobs (ended_at, id) WHERE ended_at IS NOT NULL;

  CREATE TABLE machines (
    id TEXT PRIMARY KEY,
    fleet TEXT NOT NULL,
    compute TEXT NOT NULL,
    provider_id TEXT,
    ended_at INTEGER,
    document TEXT NOT NULL
  ) STRICT;
  CREATE INDEX machines_active ON machines (fleet) WHERE ended_at IS NULL;
  CREATE INDEX machines_ended ON machines (ended_at, id) WHERE ended_at IS NOT NULL;
  CREATE INDEX machines_provider ON machines (compute, provider_id) WHERE provider_id IS NOT NULL;

  CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE repositories (
    key TEXT PRIMARY KEY,
    last_seen_at INTEGER NOT NULL,
    document TEXT NOT NULL
  ) STRICT;
  CREATE INDEX repositories_seen ON repositories (last_seen_at);

  -- An id is never used twice, or a receipt of a deleted message could mean a new one: hence AUTOINCREMENT.
  CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    key TEXT,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    in_flight INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    document TEXT NOT NULL
  ) STRICT;
  CREATE INDEX messages_due ON messages (queue, due_at, id) WHERE dead = 0;
  CREATE INDEX messages_key ON messages (queue, key) WHERE dead = 0 AND key IS NOT NULL;
  CREATE INDEX messages_dead ON messages (queue) WHERE dead = 1
  `,
  // What has ended is summed from the indexes alone.
  `
  ALTER TABLE jobs ADD COLUMN started_at INTEGER;
  UPDATE jobs SET started_at = document ->> '$.times.started';
  DROP INDEX jobs_ended;
  CREATE INDEX jobs_ended ON jobs (ended_at, id, fleet, started_at) WHERE ended_at IS NOT NULL;

  ALTER TABLE machines ADD COLUMN launched_at INTEGER;
  ALTER TABLE machines ADD COLUMN price_per_hour_usd REAL;
  UPDATE machines SET launched_at = document ->> '$.times.launched',
    price_per_hour_usd = document ->> '$.pricePerHourUsd';
  DROP INDEX machines_ended;
  CREATE INDEX machines_ended ON machines (ended_at, id, fleet, launched_at, price_per_hour_usd)
    WHERE ended_at IS NOT NULL
  `,
];
