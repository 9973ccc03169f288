-- Brings a state of layout 5 to layout 6. What there is to note is noted by the next listing.
CREATE TABLE listing (
    side  INTEGER PRIMARY KEY,
    noted BLOB NOT NULL
) STRICT;
