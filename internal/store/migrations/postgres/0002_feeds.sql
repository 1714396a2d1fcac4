-- The change feed out of the hub. A dataset that nobody subscribes to has no row in
-- feeds, zero in streams.fed, and costs nothing.

-- The feed into which changes of the stream are logged; 0: none. Landing reads it
-- with the row that it locks anyway.
ALTER TABLE streams ADD COLUMN fed integer NOT NULL DEFAULT 0;

CREATE TABLE feeds (
    no       integer PRIMARY KEY,
    dataset  text    NOT NULL UNIQUE,
    is_open  integer NOT NULL,
    sequence bigint  NOT NULL DEFAULT 0, -- of the last change; the row is the lock that keeps numbers in commit order
    floor    bigint  NOT NULL DEFAULT 0, -- changes up to here have been trimmed
    watched  text    NOT NULL            -- JSON: the fields that row filters look at
) WITH (fillfactor = 50);

CREATE TABLE feed_log (
    feed      integer          NOT NULL,
    sequence  bigint           NOT NULL,
    stream    integer          NOT NULL,
    record    text COLLATE "C" NOT NULL,
    op        integer          NOT NULL,
    version   bigint           NOT NULL,
    at        bigint           NOT NULL,
    batch     bigint           NOT NULL,
    logged_at bigint           NOT NULL,
    before    text COLLATE "C" NOT NULL, -- watched fields before the change as JSON; '': the record was not there
    PRIMARY KEY (feed, sequence)
);

-- Who may read a feed. The body is the feed package's JSON; it holds the hash of a key, never the key.
CREATE TABLE feed_subscriptions (
    id       text PRIMARY KEY,
    body     text NOT NULL,
    progress text NOT NULL DEFAULT ''
);

INSERT INTO counters (name, value) VALUES ('feeds', 0);
