-- Documents of the embedded search engine: the truth from which the word index beside is derived.
CREATE TABLE collection (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Names the folder of the derived index, so that a file that was removed and made anew never meets an old index.
    uid TEXT NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(8)))),
    mapping TEXT NOT NULL,
    -- Grows with every written document; the derived index says up to which one it has come.
    last_seq INTEGER NOT NULL DEFAULT 0,
    documents INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE document (
    collection INTEGER NOT NULL REFERENCES collection (id),
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    version INTEGER NOT NULL,
    source TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX document_by_id ON document (collection, id);
CREATE UNIQUE INDEX document_by_seq ON document (collection, seq);
