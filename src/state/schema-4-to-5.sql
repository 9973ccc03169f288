-- Brings a state of layout 4 to layout 5. Tallies are made when they are first asked for.
CREATE TABLE tally (
    folder      INTEGER PRIMARY KEY REFERENCES folder ON DELETE CASCADE,
    messages    INTEGER NOT NULL,
    unseen      INTEGER NOT NULL,
    local_keys  INTEGER NOT NULL,
    local_top   INTEGER NOT NULL,
    local_sums  BLOB NOT NULL,
    remote_keys INTEGER NOT NULL,
    remote_top  INTEGER NOT NULL,
    remote_sums BLOB NOT NULL
) STRICT;
