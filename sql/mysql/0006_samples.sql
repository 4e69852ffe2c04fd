-- What servers did and had, for the plots of the admin web: a row for each process and span of `step` seconds, which
-- begins at began_at (Unix us UTC). Each process writes its own rows, anew while their span lasts; old ones are deleted.
CREATE TABLE IF NOT EXISTS samples (
    step BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    process BINARY(16) NOT NULL,
    document VARBINARY(4096) NOT NULL,
    PRIMARY KEY (step, began_at, process)
) ENGINE=InnoDB DEFAULT CHARSET=binary;
