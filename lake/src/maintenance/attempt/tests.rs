use uuid::Uuid;

use super::*;
use crate::{
    checkpoint::{data_file::DataFile, totals::ControlTotals},
    maintenance::{
        record::{ContentChange, RowChange, RowsLeft, Standing, TaskKind},
        task::{
            InputFile,
            tests::{STREAM, output, task},
        },
        undo::{UndoView, Undone},
    },
};

const REQUEST: Uuid = Uuid::from_u128(77);
const HOUR: i64 = 3_600_000;

fn stored_document() -> CheckpointDocument {
    let mut document = CheckpointDocument::empty();
    document.head.number = 6;
    document.head.stream_arn = "arn".to_owned();
    document.head.contract_version = 3;
    document.tally.retired = ControlTotals { received: 9, stored: 9, ..ControlTotals::default() };
    document.seal().unwrap();
    document
}

/// The table that the tasks of these tests were planned on.
fn view() -> TableView {
    let file = |rows| FoundFile { size: 5, rows: Some(rows), has_deletions: false };
    let inputs = task(TaskKind::Compact, 5).inputs;
    TableView {
        table: STREAM.table(),
        record: None,
        documents: BTreeMap::from([(STREAM, Some(stored_document()))]),
        files: inputs.into_iter().map(|input| (input.path, file(input.rows))).collect(),
        undo: UndoView::default(),
    }
}

fn decide(view: &TableView, task: &Task) -> TaskAttempt {
    TaskAttempt::decide(view, None, task, "w").unwrap()
}

fn proposal(view: &TableView, task: &Task) -> Box<Proposal> {
    match decide(view, task) {
        TaskAttempt::PutRecord(proposal) => proposal,
        other => panic!("{other:?}"),
    }
}

/// The record as it is in force after a task.
fn after(view: &TableView, task: &Task) -> MaintenanceRecord {
    let mut record = proposal(view, task).record;
    record.seal().unwrap();
    record
}

fn lost(view: &TableView, task: &Task) -> Lost {
    match decide(view, task) {
        TaskAttempt::Lost(lost) => lost,
        other => panic!("{other:?}"),
    }
}

fn of_no_file(kind: TaskKind) -> Task {
    let rows = BTreeMap::new();
    Task { inputs: Vec::new(), outputs: Vec::new(), rows, content: None, ..task(TaskKind::Compact, 5) }.with(kind)
}

impl Task {
    fn with(self, kind: TaskKind) -> Self {
        Self { kind, ..self }
    }
}

#[test]
fn a_record_says_what_leaves_and_what_comes() {
    let compact = task(TaskKind::Compact, 5);
    let record = after(&view(), &compact);
    assert_eq!((record.number, &record.previous, record.task), (1, &None, compact.id));
    let removed: Vec<(String, u64)> = record.removed_files().map(|(path, file)| (path, file.rows)).collect();
    assert_eq!(removed, compact.inputs.iter().map(|file| (file.path.clone(), file.rows)).collect::<Vec<_>>());
    assert_eq!((record.added, record.counts.tasks, record.counts.bytes_removed), (compact.outputs, 1, 10));
    assert!(record.counts.rows_left.is_empty());
    assert!(proposal(&view(), &task(TaskKind::Compact, 5)).document.is_none(), "no row changes");
}

#[test]
fn a_record_builds_on_its_predecessor() {
    let mut view = view();
    let erase = task(TaskKind::Erase { request: REQUEST }, 3);
    let mut first = after(&view, &erase);
    first.standing = Standing { readable_from: 8, purged_to: 0, ..Standing::default() };
    first.seal().unwrap();
    view.record = Some(first.clone());
    let second = after(&view, &task(TaskKind::Expire { before: chrono::NaiveDate::MAX }, 0).without_outputs());
    assert_eq!((second.number, second.previous), (2, Some(Predecessor { number: 1, digest: first.digest })));
    assert_eq!(second.counts.rows_left[&STREAM], RowsLeft { erased: 2, expired: 5, repaired: 0 });
    assert_eq!(second.standing.readable_from, 8);
    assert_eq!(second.standing.expired_before, Some(chrono::NaiveDate::MAX));
}

impl Task {
    fn without_outputs(mut self) -> Self {
        self.outputs.clear();
        self.rows = BTreeMap::from([(STREAM, RowChange { before: 5, after: 0 })]);
        self
    }
}

#[test]
fn a_task_of_the_chain_has_happened() {
    let gone = TableView { files: BTreeMap::new(), ..view() };
    let attempt = TaskAttempt::decide(&gone, Some(4), &task(TaskKind::Compact, 5), "w").unwrap();
    assert!(matches!(attempt, TaskAttempt::Done(4)), "{attempt:?}");
}

#[test]
fn a_lost_or_changed_input_fails_the_task() {
    let compact = task(TaskKind::Compact, 5);
    let path = compact.inputs[1].path.clone();
    let mut gone = view();
    gone.files.remove(&path);
    assert_eq!(lost(&gone, &compact), Lost::InputGone { path: path.clone() });
    let changes: [fn(&mut FoundFile); 4] =
        [|file| file.size = 6, |file| file.rows = Some(4), |file| file.rows = None, |file| file.has_deletions = true];
    for change in changes {
        let mut changed = view();
        change(changed.files.get_mut(&path).unwrap());
        assert_eq!(lost(&changed, &compact), Lost::InputChanged { path: path.clone() });
    }
    let mut doubled = view();
    let there = output(compact.id, 5).path;
    doubled.files.insert(there.clone(), FoundFile { size: 7, rows: Some(5), has_deletions: false });
    assert_eq!(lost(&doubled, &compact), Lost::OutputThere { path: there });
}

#[test]
fn an_erasure_since_loses_the_task() {
    let mut view = view();
    view.documents.get_mut(&STREAM).unwrap().as_mut().unwrap().head.erasure_epoch = 1;
    assert_eq!(lost(&view, &task(TaskKind::Compact, 5)), Lost::Epoch { stream: STREAM, table: 1, task: 0 });
}

#[test]
fn a_task_is_lost_after_an_hour() {
    let compact = task(TaskKind::Compact, 5);
    let at = |millis| TaskAttempt::written(proposal(&view(), &compact), Millis::new(1_000 + millis));
    assert!(matches!(at(HOUR), TaskAttempt::Commit(_)));
    assert!(matches!(at(HOUR + 1), TaskAttempt::Lost(Lost::TooOld)));
}

#[test]
fn leaving_rows_are_counted_with_their_record() {
    for (kind, left) in
        [(TaskKind::Erase { request: REQUEST }, (5, 0)), (TaskKind::Expire { before: chrono::NaiveDate::MAX }, (0, 5))]
    {
        let mut found = proposal(&view(), &task(kind, 0).without_outputs());
        found.record.seal().unwrap();
        let digest = found.record.digest.clone();
        let TaskAttempt::PutDocument(put) = TaskAttempt::written(found, Millis::new(1_000)) else {
            panic!("no document")
        };
        let document = put.document.clone().unwrap();
        assert_eq!((document.tally.erased, document.tally.expired), left);
        assert_eq!(document.expected_rows(), Some(4));
        assert_eq!(document.commit.maintenance, Some(Predecessor { number: 1, digest }));
        assert_eq!((document.head.number, document.head.batch_id), (7, put.record.task));
        assert_eq!((document.head.stream_arn.as_str(), document.head.contract_version), ("arn", 3));
        let TaskAttempt::PutDocument(put) = TaskAttempt::document_taken(put, Some(11)) else { panic!("no document") };
        assert_eq!(put.document.as_ref().unwrap().head.number, 12);
        assert!(matches!(TaskAttempt::document_put(put), TaskAttempt::Commit(_)));
    }
}

/// The table after an expiry of all its files, which record 1 took out, and of other rows before.
fn expired() -> TableView {
    let mut expire = task(TaskKind::Expire { before: chrono::NaiveDate::MAX }, 0).without_outputs();
    expire.content = None;
    let mut record = after(&view(), &expire);
    record.counts.rows_left.get_mut(&STREAM).unwrap().expired = 7;
    let mut document = stored_document();
    document.tally.expired = 7;
    document.tally.expired_before = Some(chrono::NaiveDate::MAX);
    let undone =
        Undone { record: record.clone(), by: None, expired_before: chrono::NaiveDate::from_ymd_opt(2026, 1, 1) };
    TableView {
        record: Some(record),
        documents: BTreeMap::from([(STREAM, Some(document))]),
        files: BTreeMap::new(),
        undo: UndoView { undone: Some(undone), rows: BTreeMap::from([(STREAM, Some(2))]), ..UndoView::default() },
        ..view()
    }
}

/// The undo of that expiry.
fn undo_of_expiry() -> Task {
    let mut undo = task(TaskKind::Undo { version: 3, record: Some(1) }, 5);
    let inputs = std::mem::take(&mut undo.inputs);
    let back = |input: InputFile| DataFile { path: input.path, size: input.size, ..output(Uuid::nil(), input.rows) };
    undo.outputs = inputs.into_iter().map(back).collect();
    undo.rows = BTreeMap::from([(STREAM, RowChange { before: 0, after: 5 })]);
    undo.content = None;
    undo
}

#[test]
fn an_undone_expiry_restores_exactly_its_rows() {
    let found = proposal(&expired(), &undo_of_expiry());
    let day = chrono::NaiveDate::from_ymd_opt(2026, 1, 1);
    let document = found.document.unwrap();
    assert_eq!((document.tally.expired, document.tally.expired_before), (2, day));
    assert_eq!((found.record.counts.rows_left[&STREAM].expired, found.record.standing.expired_before), (2, day));
    let mut fewer = expired();
    fewer.documents.get_mut(&STREAM).unwrap().as_mut().unwrap().tally.expired = 4;
    assert!(matches!(lost(&fewer, &undo_of_expiry()), Lost::Outrun { .. }), "more than left");
    let mut floor = expired();
    floor.record.as_mut().unwrap().standing.readable_from = 3;
    assert!(matches!(lost(&floor, &undo_of_expiry()), Lost::Outrun { .. }), "its files may be deleted");
}

#[test]
fn an_undo_takes_back_what_the_chain_says() {
    let against = |change: fn(&mut UndoView, &mut Task)| {
        let (mut view, mut undo) = (expired(), undo_of_expiry());
        change(&mut view.undo, &mut undo);
        lost(&view, &undo).to_string()
    };
    assert!(against(|view, _| view.undone = None).contains("not of the table"));
    assert!(against(|view, _| view.undone.as_mut().unwrap().by = Some(9)).contains("record 9 has undone it"));
    assert!(against(|view, _| view.undone.as_mut().unwrap().record.number = 2).contains("not of the table"));
    assert!(
        against(|view, _| view.undone.as_mut().unwrap().record.kind = TaskKind::Repair { batch: REQUEST })
            .contains("kind repair")
    );
    assert!(against(|view, _| view.undone.as_mut().unwrap().record.removed.clear()).contains("other files"));
}

#[test]
fn an_undo_restores_the_rows_of_its_documents() {
    let mut view = view();
    view.undo.rows = BTreeMap::from([(STREAM, Some(6))]);
    // The document counts 9 rows; another program has taken 3 out, and put 5 in.
    let mut undo = task(TaskKind::Undo { version: 3, record: None }, 3);
    assert_eq!(proposal(&view, &undo).document.map(|document| document.tally), None, "no document counts it");
    for (rows, foreign, passes) in [(Some(6), 1, false), (Some(7), 1, true), (Some(5), 0, false), (None, 0, false)] {
        view.undo.rows = BTreeMap::from([(STREAM, rows)]);
        undo.undo.foreign_rows = BTreeMap::from([(STREAM, foreign)]);
        let decided = decide(&view, &undo);
        assert_eq!(matches!(decided, TaskAttempt::PutRecord(_)), passes, "{rows:?} {foreign}: {decided:?}");
        assert_eq!(matches!(decided, TaskAttempt::Lost(Lost::Rows { .. })), !passes);
    }
}

#[test]
fn an_undo_takes_files_out_that_were_never_counted() {
    let mut view = view();
    view.undo.rows = BTreeMap::from([(STREAM, Some(9))]);
    view.files.values_mut().for_each(|file| file.rows = None);
    let undo = Task {
        outputs: Vec::new(),
        rows: [(STREAM, RowChange { before: 5, after: 0 })].into(),
        ..task(TaskKind::Undo { version: 3, record: None }, 0)
    };
    assert!(matches!(decide(&view, &undo), TaskAttempt::PutRecord(_)));
    assert!(matches!(lost(&view, &task(TaskKind::Compact, 5)), Lost::InputChanged { .. }), "only an undo does");
}

#[test]
fn a_taken_number_gives_way_to_the_next() {
    let taken = TaskAttempt::record_taken(proposal(&view(), &task(TaskKind::Compact, 5)), Some(5));
    assert!(matches!(&taken, TaskAttempt::PutRecord(proposal) if proposal.record.number == 6), "{taken:?}");
}

#[test]
fn a_claim_keeps_others_out_until_it_lapses() {
    let claim = |partitions: Option<&str>| Claim {
        request: REQUEST,
        partitions: partitions.map(|folder| [folder.to_owned()].into()),
        until: Millis::new(2_000),
    };
    let claimed = |claim: Claim| {
        let record = after(&view(), &of_no_file(TaskKind::Claim(claim)));
        TableView { record: Some(record), ..view() }
    };
    let at = |view: &TableView, task: &Task, millis| TaskAttempt::written(proposal(view, task), Millis::new(millis));
    let own_folder = "event_type=donation/event_date=2026-01-01";
    let compact = task(TaskKind::Compact, 5);
    for partitions in [None, Some(own_folder)] {
        let view = claimed(claim(partitions));
        assert!(matches!(at(&view, &compact, 1_999), TaskAttempt::Lost(Lost::Claimed { request: REQUEST })));
        assert!(matches!(at(&view, &compact, 2_000), TaskAttempt::Commit(_)), "it has lapsed");
    }
    let elsewhere = claimed(claim(Some("event_type=donation/event_date=2026-01-02")));
    assert!(matches!(at(&elsewhere, &compact, 1_999), TaskAttempt::Commit(_)));
    let rival = TaskKind::Claim(Claim { request: Uuid::from_u128(1), ..claim(None) });
    assert!(matches!(at(&elsewhere, &of_no_file(rival), 1_999), TaskAttempt::Lost(Lost::Claimed { .. })));
    let other_erasure = task(TaskKind::Erase { request: Uuid::from_u128(1) }, 4);
    assert!(matches!(at(&claimed(claim(None)), &other_erasure, 1_999), TaskAttempt::Lost(Lost::Claimed { .. })));
}

#[test]
fn an_erasure_renews_and_returns_its_claim() {
    let claim = Claim { request: REQUEST, partitions: None, until: Millis::new(2_000) };
    let record = after(&view(), &of_no_file(TaskKind::Claim(claim)));
    let claimed = TableView { record: Some(record), ..view() };
    let own = task(TaskKind::Erase { request: REQUEST }, 5);
    let erased = after(&claimed, &own);
    assert_eq!(erased.standing.claim.as_ref().unwrap().until, Millis::new(1_000 + 24 * HOUR));
    assert!(matches!(TaskAttempt::written(proposal(&claimed, &own), Millis::new(1_001)), TaskAttempt::Commit(_)));
    let released = after(&claimed, &of_no_file(TaskKind::Release { request: REQUEST }));
    assert_eq!(released.standing.claim, None);
    let of_another = of_no_file(TaskKind::Release { request: Uuid::nil() });
    assert!(matches!(lost(&claimed, &of_another), Lost::Outrun { .. }));
}

#[test]
fn a_floor_never_sinks() {
    let floor = |readable_from, purged_to| of_no_file(TaskKind::Floor { readable_from, purged_to });
    let raised = TableView { record: Some(after(&view(), &floor(8, 2))), ..view() };
    assert_eq!(after(&raised, &floor(8, 3)).standing.purged_to, 3);
    for lower in [floor(7, 2), floor(8, 1)] {
        assert!(matches!(lost(&raised, &lower), Lost::Outrun { .. }));
    }
}

#[test]
fn a_task_that_contradicts_itself_is_no_attempt() {
    let mut compact = task(TaskKind::Compact, 5);
    compact.content = None::<ContentChange>;
    assert!(TaskAttempt::decide(&view(), None, &compact, "w").is_err());
    let no_document = TableView { documents: BTreeMap::from([(STREAM, None)]), ..view() };
    let erase = task(TaskKind::Erase { request: REQUEST }, 4);
    let fault = TaskAttempt::decide(&no_document, None, &erase, "w").unwrap_err();
    assert!(fault.contains("no document"), "{fault}");
}
