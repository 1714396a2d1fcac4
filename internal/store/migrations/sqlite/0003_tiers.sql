-- Hubs below hubs. A node that is reached through another hub has its name in via.
ALTER TABLE nodes ADD COLUMN via text NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN role text NOT NULL DEFAULT 'node';
ALTER TABLE enrolment_tokens ADD COLUMN role text NOT NULL DEFAULT 'node';

-- The newest list of nodes that each hub below has sent.
CREATE TABLE node_lists (
    hub      text   PRIMARY KEY,
    version  bigint NOT NULL,
    taken_at bigint NOT NULL
);

-- Receipts of hubs above, for nodes below, until the node says that it has them.
CREATE TABLE passed_receipts (
    node      text   NOT NULL,
    dataset   text   NOT NULL,
    sequence  bigint NOT NULL,
    hub       text   NOT NULL,
    body      text   NOT NULL,
    signature text   NOT NULL,
    at        bigint NOT NULL,
    told_at   bigint NOT NULL DEFAULT 0,
    bundle    text   NOT NULL DEFAULT '', -- the last bundle that carried it
    PRIMARY KEY (node, dataset, sequence, hub)
);

-- Bundles that were taken in: none is taken in twice.
CREATE TABLE bundles (
    id          text   PRIMARY KEY,
    sender      text   NOT NULL,
    created_at  bigint NOT NULL,
    imported_at bigint NOT NULL,
    about       text   NOT NULL
);
