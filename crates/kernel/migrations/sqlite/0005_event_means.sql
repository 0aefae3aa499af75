-- By which means whoever caused an event came, and why. What happened before does not say.
ALTER TABLE event ADD COLUMN means TEXT;
ALTER TABLE event ADD COLUMN reason TEXT;
