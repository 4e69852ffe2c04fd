-- The trace under which a message was brought, for the log of whichever server tells a client of it. NULL: none is known.
ALTER TABLE messages ADD COLUMN trace VARBINARY(32) NULL;
