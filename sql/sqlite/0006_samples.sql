-- What servers did and had, for the plots of the admin web: a row for each process and span of `step` seconds, which
-- begins at began_at (Unix us UTC). Each process writes its own rows, anew while their span lasts; old ones are deleted.
CREATE TABLE IF NOT EXISTS samples (
    step INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    process BLOB NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (step, began_at, process)
) WITHOUT ROWID;
