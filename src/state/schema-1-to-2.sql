-- Brings a state of layout 1 to layout 2.
ALTER TABLE folder ADD COLUMN local_object TEXT;
ALTER TABLE folder ADD COLUMN remote_object TEXT;

CREATE TABLE problem (
    id       INTEGER PRIMARY KEY,
    folder   INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,
    -- The side that has the message: 0 local, 1 remote; its key there, and the flags that it was last seen with.
    side     INTEGER NOT NULL,
    key      ANY NOT NULL,
    flags    INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    action   TEXT NOT NULL,
    cause    TEXT NOT NULL,
    hint     TEXT,
    tries    INTEGER NOT NULL,
    -- In milliseconds since 1970.
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    next     INTEGER NOT NULL,
    UNIQUE (folder, side, key)
) STRICT;
