-- Brings a state of layout 2 to layout 3.
CREATE TABLE discard (
    folder     INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,
    -- 0 local, 1 remote.
    side       INTEGER NOT NULL,
    generation INTEGER,
    mark       ANY NOT NULL,
    -- When, in milliseconds since 1970.
    begun      INTEGER NOT NULL,
    PRIMARY KEY (folder, side)
) STRICT, WITHOUT ROWID;

-- A message that is about to be taken away on a side, because it is gone on the other one.
CREATE TABLE doom (
    pair INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
    -- 0 local, 1 remote.
    side INTEGER NOT NULL,
    PRIMARY KEY (pair, side)
) STRICT, WITHOUT ROWID;
