-- The hub's own tables. Times are microseconds since 1970 UTC, JSON is text: the
-- same statements then run on every engine. The typed record tables are made from shapes,
-- not here.

-- Numbers given out in commit order. A row is also the lock for what it counts.
CREATE TABLE counters (
    name  text   PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO counters (name, value) VALUES ('shapes', 0), ('streams', 0), ('audit', 0);

CREATE TABLE datasets (
    dataset    text PRIMARY KEY,
    table_name text NOT NULL UNIQUE
);

CREATE TABLE shapes (
    dataset    text    NOT NULL,
    version    integer NOT NULL,
    body       text    NOT NULL,
    defined_at bigint  NOT NULL,
    PRIMARY KEY (dataset, version)
);

-- One row per chain of batches: its number, its head, and exact counters.
CREATE TABLE streams (
    no              integer PRIMARY KEY,
    node            text    NOT NULL,
    dataset         text    NOT NULL,
    sequence        bigint  NOT NULL DEFAULT 0,
    digest          text    NOT NULL DEFAULT '',
    live            bigint  NOT NULL DEFAULT 0,
    held            bigint  NOT NULL DEFAULT 0,
    deleted         bigint  NOT NULL DEFAULT 0,
    batches         bigint  NOT NULL DEFAULT 0,
    changes         bigint  NOT NULL DEFAULT 0,
    refused         bigint  NOT NULL DEFAULT 0,
    last_source_at  bigint  NOT NULL DEFAULT 0,
    last_applied_at bigint  NOT NULL DEFAULT 0,
    UNIQUE (node, dataset)
) WITH (fillfactor = 50);

CREATE TABLE ledger (
    stream        integer NOT NULL,
    sequence      bigint  NOT NULL,
    digest        text    NOT NULL,
    previous      text    NOT NULL,
    kind          text    NOT NULL,
    shape_version integer NOT NULL,
    row_count     bigint  NOT NULL,
    landed        bigint  NOT NULL,
    ignored       bigint  NOT NULL,
    refused       bigint  NOT NULL,
    first_order   bigint  NOT NULL,
    first_token   text    NOT NULL,
    last_order    bigint  NOT NULL,
    last_token    text    NOT NULL,
    sealed        bigint  NOT NULL,
    applied_at    bigint  NOT NULL,
    body          text    NOT NULL,
    PRIMARY KEY (stream, sequence)
);

-- Rows that could not be stored, so that nothing is lost silently.
CREATE TABLE refusals (
    stream   integer NOT NULL,
    sequence bigint  NOT NULL,
    position integer NOT NULL,
    record   bytea   NOT NULL,
    reason   text    NOT NULL,
    PRIMARY KEY (stream, sequence, position)
);

CREATE TABLE audit_outbox (
    no    bigint PRIMARY KEY,
    at    bigint NOT NULL,
    entry text   NOT NULL
);

CREATE TABLE reconciliations (
    stream     integer NOT NULL,
    at         bigint  NOT NULL,
    checkpoint text    NOT NULL,
    body       text    NOT NULL,
    PRIMARY KEY (stream, at, checkpoint)
);

CREATE TABLE reports (
    stream integer NOT NULL,
    at     bigint  NOT NULL,
    body   text    NOT NULL,
    PRIMARY KEY (stream, at)
);

CREATE TABLE nodes (
    name        text   PRIMARY KEY,
    node        text   NOT NULL,
    public_key  text   NOT NULL,
    key_id      text   NOT NULL,
    certificate text   NOT NULL,
    enrolled_at bigint NOT NULL,
    retired_at  bigint NOT NULL DEFAULT 0
);

-- One-time secrets and sessions are kept as hashes only.
CREATE TABLE enrolment_tokens (
    hash       text   PRIMARY KEY,
    node       text   NOT NULL,
    expires_at bigint NOT NULL,
    used_at    bigint NOT NULL DEFAULT 0,
    used_by    text   NOT NULL DEFAULT ''
);

CREATE TABLE sign_in_tokens (
    hash       text   PRIMARY KEY,
    subject    text   NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE sessions (
    hash       text   PRIMARY KEY,
    subject    text   NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE settings (
    key   text PRIMARY KEY,
    value text NOT NULL
);
