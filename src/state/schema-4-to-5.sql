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

-- Whoever changes a pair also changes the tally, or it is counted anew.
CREATE TRIGGER message_inserted AFTER INSERT ON message
    BEGIN DELETE FROM tally WHERE folder = new.folder; END;
CREATE TRIGGER message_deleted AFTER DELETE ON message
    BEGIN DELETE FROM tally WHERE folder = old.folder; END;
CREATE TRIGGER message_updated
    AFTER UPDATE OF folder, local, remote, local_flags, local_keywords, remote_flags, remote_keywords ON message
    BEGIN DELETE FROM tally WHERE folder IN (old.folder, new.folder); END;
