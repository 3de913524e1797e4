//! The SQL shell through a pseudo-terminal, as people use it, and with statements from a pipe.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use nix::sys::wait::WaitStatus;
use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};

use crate::support::command::Machine;

const PROMPT: &str = "bluelake> ";
/// It is long, because the machine may be busy with other tests.
const PATIENCE_MILLISECONDS: u64 = 60_000;
/// A query that never finishes.
const RUNAWAY: &str =
    "SELECT sum(a.value % 7 * b.value) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b;";

/// A machine with a small lake, made once for each test.
async fn machine() -> Machine {
    let machine = Machine::new().with("TERM", "xterm").with("PAGER", "cat");
    machine.succeed(&["demo", "--events", "2000"]).await;
    machine
}

/// A shell on a terminal. Its output is read as bytes, so words of other alphabets are compared as bytes.
struct Terminal(PtySession);

impl Terminal {
    fn start(machine: &Machine) -> Self {
        Self::greeted(machine).0
    }

    /// A shell, and its output before the first prompt.
    fn greeted(machine: &Machine) -> (Self, String) {
        let options = Options::new().timeout_ms(Some(PATIENCE_MILLISECONDS)).strip_ansi_escape_codes(true);
        let mut terminal = Self(spawn_with_options(machine.terminal_command(&["sql"]), options).unwrap());
        let greeting = terminal.sees(PROMPT);
        (terminal, greeting)
    }

    /// Waits for a text; gives the output before it.
    fn sees(&mut self, text: &str) -> String {
        let needle: String = text.bytes().map(char::from).collect();
        let before = self.0.exp_string(&needle).unwrap_or_else(|error| panic!("never saw {text:?}: {error}"));
        let bytes: Vec<u8> = before.chars().map(|character| character as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn types(&mut self, text: &str) {
        self.0.send(text).unwrap();
        self.0.flush().unwrap();
    }

    /// Enters a line and waits for the next prompt; gives the output in between, echo included.
    fn enters(&mut self, line: &str) -> String {
        self.types(&format!("{line}\r"));
        // The echo repeats the prompt, so the line's end is waited for first.
        self.sees("\r\n");
        self.sees(PROMPT)
    }

    fn presses_control(&mut self, key: char) {
        self.0.send_control(key).unwrap();
    }

    /// Waits for its end; gives the exit code.
    fn ends(mut self) -> i32 {
        let _ = self.0.exp_eof();
        match self.0.process().wait().unwrap() {
            WaitStatus::Exited(_, code) => code,
            other => panic!("it did not exit: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_greets_answers_and_describes() {
    let machine = machine().await;
    let (mut terminal, greeting) = Terminal::greeted(&machine);
    for part in ["Bluelake", "read-only", "time zone UTC", "transactions", "version ", " rows", "\\?"] {
        assert!(greeting.contains(part), "{part}: {greeting}");
    }
    let answer = terminal.enters("SELECT 40 + 2 AS answer;");
    assert!(answer.contains("42") && answer.contains("(1 row)"), "{answer}");
    let tables = terminal.enters("\\d");
    assert!(tables.contains("donations") && tables.contains("view") && tables.contains("rejected_events"), "{tables}");
    let columns = terminal.enters("\\d users");
    assert!(columns.contains("zip_code") && columns.contains("string"), "{columns}");
    let error = terminal.enters("SELECT * FROM usrs;");
    assert!(error.contains("did you mean users?"), "{error}");
    let error = terminal.enters("\\d usrs");
    assert!(error.contains("did you mean users?"), "{error}");
    let error = terminal.enters("\\dance");
    assert!(error.contains("there is no command \\dance"), "{error}");
    let help = terminal.enters("\\?");
    assert!(help.contains("\\timing") && help.contains("\\refresh"), "{help}");
    let timed = terminal.enters("\\timing on") + &terminal.enters("SELECT 1;");
    assert!(timed.contains("timing is on") && timed.contains("time: "), "{timed}");
    let two = terminal.enters("SELECT 1000 + 1; SELECT 1000 + 2;");
    assert!(two.contains("1001") && two.contains("1002"), "{two}");
    terminal.presses_control('d');
    assert_eq!(terminal.ends(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_may_span_lines_and_be_completed() {
    let machine = machine().await;
    let mut terminal = Terminal::start(&machine);
    terminal.types("SELECT 1\r");
    terminal.sees("-> ; ends the statement");
    terminal.types(";\r");
    terminal.sees("(1 row)");
    terminal.sees(PROMPT);
    terminal.types("SELECT 'a;\rb' AS text,\r500 + 55 AS number;\r");
    let answer = terminal.sees("(1 row)");
    assert!(answer.contains("a;\\nb") && answer.contains("555"), "{answer}");
    terminal.sees(PROMPT);
    terminal.types("SELECT count(*) AS n FROM transf\t");
    terminal.sees("transfers");
    let answer = terminal.enters(";");
    assert!(answer.contains("(1 row)"), "{answer}");
    terminal.types("SELECT donor_\t\t");
    terminal.sees("donor_kind");
    terminal.sees(PROMPT);
    // Ctrl-C clears the line: the next input is a statement of its own. Input before the prompt may be lost.
    terminal.presses_control('c');
    terminal.sees(PROMPT);
    terminal.types("SELECT 7 * 6 AS fresh;\r");
    terminal.sees("42");
    terminal.sees("(1 row)");
    terminal.sees(PROMPT);
    terminal.types("exit\r");
    assert_eq!(terminal.ends(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_outlives_the_shell_and_is_private() {
    let machine = machine().await;
    let mut terminal = Terminal::start(&machine);
    terminal.enters("SELECT 1230 + 4 AS remembered;");
    terminal.enters(" SELECT 'not remembered';");
    terminal.types("\\q\r");
    assert_eq!(terminal.ends(), 0);
    let path = machine.path(".local/state/bluelake/history");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&path).unwrap().contains("not remembered"));

    let mut terminal = Terminal::start(&machine);
    // The last entry is the command that left.
    terminal.types("\u{1b}[A\u{1b}[A");
    terminal.sees("remembered;");
    let answer = terminal.enters("");
    assert!(answer.contains("1234"), "{answer}");
    terminal.types("\\q\r");
    assert_eq!(terminal.ends(), 0);

    std::fs::remove_file(&path).unwrap();
    let machine = machine.with("BLUELAKE_SQL_HISTORY_FILE", "none").without("HOME");
    let mut terminal = Terminal::start(&machine);
    terminal.enters("SELECT 1;");
    terminal.presses_control('d');
    assert_eq!(terminal.ends(), 0);
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn control_c_stops_the_query_only() {
    let machine = machine().await;
    let mut terminal = Terminal::start(&machine);
    for _ in 0..2 {
        terminal.types(&format!("{RUNAWAY}\r"));
        terminal.sees("\r\n");
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        terminal.presses_control('c');
        let started = Instant::now();
        terminal.sees("cancelled");
        terminal.sees(PROMPT);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = processor_ticks(&machine);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = processor_ticks(&machine) - before;
    assert!(spent < 50, "{spent} hundredths of a second were worked in two seconds at the prompt");
    let answer = terminal.enters("SELECT 40 + 2 AS answer;");
    assert!(answer.contains("42"), "{answer}");
    terminal.presses_control('d');
    assert_eq!(terminal.ends(), 0);
}

/// Processor time of the processes in the machine's folder, in hundredths of a second.
fn processor_ticks(machine: &Machine) -> u64 {
    let folder = machine.folder().canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let ours = processes.filter(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|path| path == folder));
    let ticks = |process: std::path::PathBuf| {
        let stat = std::fs::read_to_string(process.join("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    ours.map(ticks).sum()
}

/// A list of two million numbers in every row of a batch: a hundred gigabytes in one step.
const IMPOSSIBLE: &str = "SELECT l, value FROM (SELECT array_agg(value) AS l FROM generate_series(1, 2000000)) a, \
                          generate_series(1, 8192);";

#[tokio::test(flavor = "multi_thread")]
async fn a_crashing_query_leaves_the_shell_running() {
    let machine = machine().await.with("RUST_BACKTRACE", "0");
    let mut terminal = Terminal::start(&machine);
    // A shell that dies at once is not started again.
    tokio::time::sleep(Duration::from_secs(4)).await;
    terminal.types(&format!("{IMPOSSIBLE}\r"));
    terminal.sees("The query took more memory than a process is given here");
    terminal.sees(PROMPT);
    let answer = terminal.enters("SELECT 40 + 2 AS answer;");
    assert!(answer.contains("42") && answer.contains("(1 row)"), "{answer}");
    terminal.types("\\q\r");
    assert_eq!(terminal.ends(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_drawn_expanded_paged_and_saved() {
    let machine = machine().await;
    let mut terminal = Terminal::start(&machine);
    let drawn = terminal.enters("SELECT channel, count(*) AS events FROM transactions GROUP BY 1 ORDER BY 1;")
        + &terminal.enters("\\chart");
    assert!(drawn.contains("events by channel") && drawn.contains("│█"), "{drawn}");
    terminal.enters("\\chart on");
    let drawn =
        terminal.enters("SELECT event_date, count(*) AS events FROM transactions GROUP BY 1 ORDER BY 1 LIMIT 9;");
    assert!(drawn.contains("events by event_date") && drawn.contains("┤"), "{drawn}");
    let plain = terminal.enters("SELECT 1 AS a, 2 AS b, 3 AS c;") + &terminal.enters("\\chart bar");
    assert!(plain.contains("a chart needs a result of two columns") && plain.contains("has 3"), "{plain}");
    terminal.enters("\\chart off");

    let expanded = terminal.enters("\\x") + &terminal.enters("SELECT E'\\x1b[31mred' AS colour, 1 AS n;");
    assert!(expanded.contains("row 1") && expanded.contains("colour │ \\u{1b}[31mred"), "{expanded}");
    terminal.enters("\\x off");

    let paged = terminal.enters("SELECT value FROM generate_series(1, 20000);");
    assert!(paged.contains("(the first 10000 rows; \\o FILE writes all of them)"), "{}", paged.len());
    let saved = terminal.enters("\\o numbers.csv") + &terminal.enters("SELECT value FROM generate_series(1, 20000);");
    assert!(saved.contains("20000 rows written to numbers.csv as csv"), "{saved}");
    assert_eq!(std::fs::read_to_string(machine.path("numbers.csv")).unwrap().lines().count(), 20_001);

    machine.write("questions.sql", "SELECT 600 + 6;\nSELECT nonsense;\nSELECT 700 + 7;\n");
    let included = terminal.enters("\\i questions.sql");
    assert!(
        included.contains("606") && included.contains("questions.sql, line 2") && !included.contains("707"),
        "{included}"
    );
    let refreshed = terminal.enters("\\refresh");
    assert!(refreshed.contains("nothing is new"), "{refreshed}");
    terminal.presses_control('d');
    assert_eq!(terminal.ends(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quitting_or_missing_pager_is_no_error() {
    let machine = machine().await.with("BLUELAKE_SQL_PAGER", "head -n 3");
    let mut terminal = Terminal::start(&machine);
    let paged = terminal.enters("SELECT value FROM generate_series(1, 9000);");
    assert!(paged.contains("value") && !paged.contains("8999"), "{paged}");
    terminal.presses_control('d');
    assert_eq!(terminal.ends(), 0);

    let machine = machine.with("BLUELAKE_SQL_PAGER", "/no/such/pager");
    let mut terminal = Terminal::start(&machine);
    terminal.types("SELECT value FROM generate_series(1, 9000);\r");
    terminal.sees("cannot be run");
    terminal.sees("-- Enter: more");
    terminal.types("q\n");
    terminal.sees(PROMPT);
    let answer = terminal.enters("\\pager off");
    assert!(answer.contains("pager is off"), "{answer}");
    terminal.presses_control('d');
    assert_eq!(terminal.ends(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn piped_statements_run_until_the_first_error() {
    let machine = machine().await;
    let input = "-- two questions\n\\format csv\nSELECT 1 AS a; SELECT 2\n  AS b;\n\nSELECT 3 AS c";
    let finished = machine.run_with_input(&["sql"], input).await.expect_code(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("format is csv\na\n1\nb\n2\nc\n3\n", ""));
    let finished =
        machine.run_with_input(&["sql", "--format", "ndjson"], "SELECT 1 AS a;\nSELECT x;\nSELECT 2 AS b;\n").await;
    assert_eq!(finished.stdout, "{\"a\":1}\n");
    finished.expect_code(1).expect_message(&["standard input, line 2", "x"]);
    machine.run_with_input(&["sql"], "").await.expect_code(0);
    machine.run_with_input(&["sql"], "SELECT 'open\n").await.expect_code(1).expect_message(&["cannot be parsed"]);
    machine.run_with_input(&["sql"], "\\nonsense\n").await.expect_code(1).expect_message(&["\\nonsense"]);
    machine.run_with_input(&["sql"], "exit\nSELECT x;\n").await.expect_code(0);
    let endless = format!("SELECT {}", "1 + ".repeat(50_000));
    machine.run_with_input(&["sql"], &endless).await.expect_code(1).expect_message(&["65536"]);
    machine.write("self.sql", "\\i self.sql\n");
    machine.run_with_input(&["sql"], "\\i self.sql\n").await.expect_code(1).expect_message(&["inside of each other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_refuses_what_queries_may_not() {
    let machine = machine().await;
    let mut terminal = Terminal::start(&machine);
    let secret = machine.path("secret.csv");
    machine.write("secret.csv", "a\nhidden-value\n");
    let statements = [
        "COPY transactions TO 'out.parquet';".to_owned(),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}';", secret.display()),
        format!("SELECT * FROM '{}';", secret.display()),
        "DROP TABLE transactions;".to_owned(),
        "SET datafusion.execution.batch_size = 1;".to_owned(),
        "/* x */ in\u{a0}sert INTO users VALUES (1);".to_owned(),
    ];
    for sql in statements {
        let answer = terminal.enters(&sql);
        assert!(answer.contains("error: "), "{sql}: {answer}");
        assert!(!answer.contains("hidden-value"), "{sql}: {answer}");
    }
    assert!(!machine.path("out.parquet").exists());
    terminal.presses_control('d');
    assert_eq!(terminal.ends(), 0);
}
