"""The rows: database drivers, transactions, migrations, and one module of constant SQL per table family."""
