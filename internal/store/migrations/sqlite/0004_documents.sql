-- What people administer: proposals, register entries, tickets, questions. Every revision stays.
CREATE TABLE documents (
    kind     text   NOT NULL,
    id       text   NOT NULL,
    revision bigint NOT NULL,
    state    text   NOT NULL,
    actor    text   NOT NULL,
    note     text   NOT NULL,
    at       bigint NOT NULL,
    body     text   NOT NULL,
    latest   bigint NOT NULL DEFAULT 1, -- 0: a newer revision exists
    PRIMARY KEY (kind, id, revision)
);
CREATE INDEX documents_latest ON documents (kind, state, id) WHERE latest = 1;
