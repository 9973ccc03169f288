-- Brings a state of layout 3 to layout 4.
DROP INDEX intent_folder;
CREATE INDEX intent_source ON intent (folder, side, source);
