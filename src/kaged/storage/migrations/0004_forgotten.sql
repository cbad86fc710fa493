-- Where a forgotten project was, as long as sessions of it are kept: nothing else may take its name.
CREATE TABLE forgotten (
    slug TEXT PRIMARY KEY,
    path TEXT NOT NULL
) STRICT, WITHOUT ROWID;
