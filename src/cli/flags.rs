//! The flags of settings: made from the list of settings, added to their commands, and read back.

use clap::{Arg, ArgMatches, Command};

use crate::config::{About, Flag, Override, SETTINGS};

/// The heading of the options that every command takes.
pub(super) const GLOBAL: &str = "Global options";

/// The command line with the flags of all settings.
pub(super) fn add_to(command: Command) -> Command {
    with_flags().fold(command, |command, (setting, flag)| {
        if flag.commands.is_empty() {
            return command.arg(argument(setting, flag).global(true).help_heading(GLOBAL));
        }
        let paths = flag.commands.iter().map(|path| path.split(' ').collect::<Vec<_>>());
        paths.fold(command, |command, path| at(command, &path, argument(setting, flag)))
    })
}

/// The settings given by flags, anywhere on the command line.
pub(super) fn given(matches: &ArgMatches) -> Vec<Override> {
    let own = with_flags().filter_map(|(setting, flag)| {
        // A command does not know the flags of others.
        let text = matches.try_get_one::<String>(setting.key).ok().flatten()?;
        Some(Override::new(setting.key, text, flag.name))
    });
    let below = matches.subcommand().map(|(_, below)| given(below));
    own.chain(below.into_iter().flatten()).collect()
}

fn with_flags() -> impl Iterator<Item = (&'static About, &'static Flag)> {
    SETTINGS.iter().filter_map(|setting| Some((setting, setting.flag.as_ref()?)))
}

/// `command` with one more argument at the subcommand of the path.
fn at(command: Command, path: &[&str], argument: Arg) -> Command {
    match path {
        [] => command.arg(argument),
        [first, rest @ ..] => command.mut_subcommand(first, |below| at(below, rest, argument)),
    }
}

fn argument(setting: &About, flag: &Flag) -> Arg {
    let argument =
        Arg::new(setting.key).long(flag.name.trim_start_matches('-')).value_name(flag.value_name).help(setting.help());
    match flag.alone {
        Some(value) => argument.num_args(0..=1).require_equals(true).default_missing_value(value),
        None => argument,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::cli::command;
    use crate::config::Override;

    fn given(line: &str) -> Vec<Override> {
        super::given(&command().try_get_matches_from(line.split(' ')).unwrap())
    }

    #[test]
    fn each_flag_sets_its_setting() {
        let cases = [
            ("bluelake --lake here status", ("lake", "here", "--lake")),
            ("bluelake status --lake here", ("lake", "here", "--lake")),
            ("bluelake report list --log-level info", ("log.level", "info", "--log-level")),
            ("bluelake ingest --buffer-age 5s", ("ingest.buffer-age", "5s", "--buffer-age")),
            ("bluelake ingest --fan-out --once", ("ingest.fan-out", "bluelake", "--fan-out")),
            ("bluelake ingest --fan-out=other", ("ingest.fan-out", "other", "--fan-out")),
            ("bluelake sql --time-limit 5s", ("sql.time-limit", "5s", "--time-limit")),
            ("bluelake report list --reports x", ("reports.folder", "x", "--reports")),
            ("bluelake report reconcile --memory-limit 1GiB", ("sql.memory-limit", "1GiB", "--memory-limit")),
            ("bluelake report run-all --for 2026 --destination x", ("reports.destination", "x", "--destination")),
        ];
        for (line, (key, text, flag)) in cases {
            // A flag of all commands is present at each command of the path.
            let given = given(line);
            assert!(!given.is_empty() && given.iter().all(|one| *one == Override::new(key, text, flag)), "{line}");
        }
    }

    #[test]
    fn unset_flags_and_other_flags_set_nothing() {
        for line in ["bluelake ingest --once", "bluelake report run donations --destination x", "bluelake config show"]
        {
            assert_eq!(given(line), [], "{line}");
        }
    }

    #[test]
    fn a_flag_foreign_to_a_command_is_refused() {
        for line in
            ["bluelake status --buffer-age 5s", "bluelake report list --time-zone UTC", "bluelake ingest --start"]
        {
            assert!(command().try_get_matches_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_flags_help_ends_with_its_default() {
        let mut command = command();
        let help = command.find_subcommand_mut("ingest").unwrap().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for end in [
            "the streams share it evenly [default: no limit]",
            "the flag alone means bluelake [default: polling]",
            "trim-horizon, latest or an RFC 3339 time [default: trim-horizon]",
        ] {
            assert!(help.contains(end), "{end}: {help}");
        }
    }
}
