//! Secrets that stand beside an address.

use bluelake_deliver::Surroundings;

/// A variable of the environment; an empty one is as good as none.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A password for PostgreSQL, as its own programs find it.
pub(crate) fn of_postgres() -> Surroundings {
    let usual = || variable("HOME").map(|home| format!("{home}/.pgpass"));
    let file = variable("PGPASSFILE").or_else(usual);
    Surroundings {
        password: variable("PGPASSWORD"),
        password_file: file.and_then(|file| std::fs::read_to_string(file).ok()),
    }
}
