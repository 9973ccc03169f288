-- Brings a state of layout 6 to layout 7. The hashes are BLAKE3 now: those that there are compare with nothing.
UPDATE message SET hash = NULL WHERE hash IS NOT NULL;
UPDATE intent SET hash = NULL WHERE hash IS NOT NULL;
