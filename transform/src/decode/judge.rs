//! Judges one event by the plan: every field is checked, in a fixed order, before anything is kept.
//!
//! Order: schema version, event type, the event type's fields in the order of the contract (a list's entries one after
//! another), rules, size of the unknown fields. The first fault is the reason.

use uuid::Uuid;

use crate::decode::cell;
use crate::decode::cell::{Cell, CellSource};
use crate::decode::extras::Extras;
use crate::decode::object::ObjectFields;
use crate::decode::plan::{Check, EventPlan, ListPlan, Plan, Step};
use crate::decode::reason::{ReasonCode, Rejected};
use crate::parse::json::{Scanner, Token, Value};
use crate::parse::timestamp;

/// The memory of one event that is kept for the next.
const KEPT_BYTES: usize = 1 << 20;
/// The most entries of a list. A record of 1 MiB has no room for more.
const MAX_ENTRIES: usize = 100_000;
/// Fields of an entry lie inside the event, its list and the entry.
const ENTRY_OUTER_DEPTH: usize = 2;

/// The outcome for the last event; its memory is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    cells: Vec<Cell>,
    entries: Vec<Cell>,
    unescaped: String,
    entry_fields: ObjectFields,
    pub(crate) extras: Extras,
}

/// What an event is that passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) event_id: Uuid,
    pub(crate) event_plan: &'a EventPlan,
}

impl Judge {
    /// Checks an object. Values that passed are in [`Judge::cells`], by slot.
    pub(crate) fn event<'a>(
        &mut self,
        plan: &'a Plan,
        text: &str,
        fields: &ObjectFields,
        arrived_at: i64,
    ) -> Result<Judged<'a>, Rejected> {
        self.clear(plan);
        let version = schema_version(plan, text, fields)
            .map_err(|reason| Rejected::field(reason, plan.name(plan.schema_version)))?;
        self.set(plan.schema_version, Cell::Integer(version));
        let event_plan = self
            .event_type(plan, text, fields)
            .map_err(|reason| Rejected::field(reason, plan.name(plan.event_type)))?;
        let mut known = 0;
        for slot in [plan.schema_version, plan.event_type] {
            known += usize::from(fields.get(slot).token != Token::Absent);
        }
        for step in &event_plan.steps {
            let value = fields.get(step.slot);
            known += usize::from(value.token != Token::Absent);
            self.field(plan, *step, text, value)?;
            if step.slot == plan.occurred_at {
                self.is_plausible(plan, arrived_at)?;
            }
        }
        self.rules_hold(plan, event_plan, text)?;
        self.keep_unknown(text, fields);
        if known < fields.known() {
            self.keep_foreign(plan, event_plan, text, fields);
        }
        if self.extras.is_too_large() {
            return Err(Rejected::field(ReasonCode::TooLarge, "extras"));
        }
        match self.cell(plan.event_id) {
            Cell::Uuid(event_id) => Ok(Judged { event_id, event_plan }),
            _ => Err(Rejected::field(ReasonCode::MissingField, plan.name(plan.event_id))),
        }
    }

    /// The cell of a slot after its check; null for an empty slot.
    pub(crate) fn cell(&self, slot: usize) -> Cell {
        self.cells.get(slot).copied().unwrap_or(Cell::Null)
    }

    /// The texts that the cells point to.
    pub(crate) fn source<'a>(&'a self, text: &'a str) -> CellSource<'a> {
        CellSource { text, unescaped: &self.unescaped, entries: &self.entries }
    }

    fn clear(&mut self, plan: &Plan) {
        if self.cells.len() == plan.fields.len() {
            self.cells.fill(Cell::Null);
        } else {
            self.cells = vec![Cell::Null; plan.fields.len()];
        }
        self.entries.clear();
        self.entries.shrink_to(KEPT_BYTES / size_of::<Cell>());
        self.unescaped.clear();
        self.unescaped.shrink_to(KEPT_BYTES);
        self.extras.clear();
    }

    fn set(&mut self, slot: usize, cell: Cell) {
        if let Some(place) = self.cells.get_mut(slot) {
            *place = cell;
        }
    }

    fn event_type<'a>(
        &mut self,
        plan: &'a Plan,
        text: &str,
        fields: &ObjectFields,
    ) -> Result<&'a EventPlan, ReasonCode> {
        let value = present(fields.get(plan.event_type)).ok_or(ReasonCode::MissingField)?;
        let before = self.unescaped.len();
        let name = cell::string(text, value, &mut self.unescaped)?;
        let found = plan.event_types.iter().find(|event_plan| event_plan.name == name);
        let cell = cell::text(value, before, name);
        self.set(plan.event_type, cell);
        found.ok_or(ReasonCode::UnknownEventType)
    }

    fn field(&mut self, plan: &Plan, step: Step, text: &str, value: Value) -> Result<(), Rejected> {
        let Step { slot, is_required } = step;
        let reject = |reason| Rejected::field(reason, plan.name(slot));
        let Some(value) = present(value) else {
            return if is_required { Err(reject(ReasonCode::MissingField)) } else { Ok(()) };
        };
        let Some(field) = plan.fields.get(slot) else { return Ok(()) };
        if let Check::List(list) = &field.check {
            let cell = self.list((list, field.is_kept), plan.name(slot), text, value)?;
            self.set(slot, cell);
            return Ok(());
        }
        let Some(cell) = self.cells.get_mut(slot) else { return Ok(()) };
        cell::scalar((&field.check, text, value), &mut self.unescaped, cell).map_err(reject)
    }

    /// Scans a list a second time, for the values of its entries; the first scan has found it well-formed. Unknown
    /// fields of the entries are kept if the list is.
    fn list(
        &mut self,
        (list, is_kept): (&ListPlan, bool),
        name: &str,
        text: &str,
        value: Value,
    ) -> Result<Cell, Rejected> {
        if value.token != Token::Array {
            return Err(Rejected::field(ReasonCode::WrongType, name));
        }
        let first = self.entries.len();
        let mut entries = 0;
        // The list alone: what the scanner looks ahead at is then never looked at for another list.
        let list_text = text.get(..value.end()).unwrap_or_default();
        let mut scanner = Scanner::new(list_text, value.start() + 1);
        while !scanner.take(b']') {
            scanner.take(b',');
            scanner.skip_white_space();
            if entries == MAX_ENTRIES {
                return Err(Rejected::field(ReasonCode::TooLarge, name));
            }
            self.entry(list, (name, entries), text, &mut scanner)?;
            if is_kept {
                self.keep_unknown_of_entry((name, entries), text);
            }
            entries += 1;
        }
        Ok(Cell::List { first, entries })
    }

    fn entry(
        &mut self,
        list: &ListPlan,
        (name, number): (&str, usize),
        text: &str,
        scanner: &mut Scanner<'_>,
    ) -> Result<(), Rejected> {
        if scanner.peek() != Some(b'{') {
            return Err(Rejected::field(ReasonCode::WrongType, format!("{name}[{number}]")));
        }
        let scanned = self.entry_fields.scan(&list.keys, text, scanner, ENTRY_OUTER_DEPTH);
        scanned.map_err(|_| Rejected::field(ReasonCode::NotJson, name))?;
        let reject = |reason, field: &str| Rejected::field(reason, format!("{name}[{number}].{field}"));
        if let Some(field) = self.entry_fields.duplicate().and_then(|slot| list.fields.get(slot)) {
            return Err(reject(ReasonCode::DuplicateKey, &field.name));
        }
        for (slot, field) in list.fields.iter().enumerate() {
            let mut cell = Cell::Null;
            match present(self.entry_fields.get(slot)) {
                Some(value) => cell::scalar((&field.check, text, value), &mut self.unescaped, &mut cell)
                    .map_err(|reason| reject(reason, &field.name))?,
                None if field.is_required => return Err(reject(ReasonCode::MissingField, &field.name)),
                None => {}
            }
            self.entries.push(cell);
        }
        Ok(())
    }

    fn keep_unknown_of_entry(&mut self, (name, number): (&str, usize), text: &str) {
        if self.entry_fields.unknown().is_empty() {
            return;
        }
        let number = number.to_string();
        for unknown in self.entry_fields.unknown() {
            let key = [name, "[", &number, "].", unknown.key.inner(text)];
            self.extras.push(&key, unknown.value.raw(text));
        }
    }

    fn is_plausible(&self, plan: &Plan, arrived_at: i64) -> Result<(), Rejected> {
        match self.cell(plan.occurred_at) {
            Cell::Integer(occurred_at) if timestamp::is_plausible(occurred_at, arrived_at) => Ok(()),
            _ => Err(Rejected::field(ReasonCode::ImplausibleTimestamp, plan.name(plan.occurred_at))),
        }
    }

    fn rules_hold(&self, plan: &Plan, event_plan: &EventPlan, text: &str) -> Result<(), Rejected> {
        let source = self.source(text);
        let holds = |(slot, values): &(usize, Vec<String>)| {
            source.text_of(self.cell(*slot)).map(|found| values.iter().any(|value| value == found))
        };
        let broken =
            event_plan.rules.iter().find(|rule| holds(&rule.when) == Some(true) && holds(&rule.then) == Some(false));
        match broken {
            Some(rule) => Err(Rejected::field(ReasonCode::RuleViolated, plan.name(rule.then.0))),
            None => Ok(()),
        }
    }

    /// Unknown fields of the event. Those of list entries are there already.
    fn keep_unknown(&mut self, text: &str, fields: &ObjectFields) {
        for unknown in fields.unknown() {
            self.extras.push(&[unknown.key.inner(text)], unknown.value.raw(text));
        }
    }

    /// Fields of other event types.
    fn keep_foreign(&mut self, plan: &Plan, event_plan: &EventPlan, text: &str, fields: &ObjectFields) {
        for slot in &event_plan.foreign {
            let value = fields.get(*slot);
            if value.token != Token::Absent {
                self.extras.push(&[plan.name(*slot)], value.raw(text));
            }
        }
    }
}

/// A value that is present and not null.
fn present(value: Value) -> Option<Value> {
    (!matches!(value.token, Token::Absent | Token::Null)).then_some(value)
}

fn schema_version(plan: &Plan, text: &str, fields: &ObjectFields) -> Result<i64, ReasonCode> {
    let Some(value) = present(fields.get(plan.schema_version)) else { return Ok(1) };
    match cell::integer(text, value)? {
        version if version > plan.max_schema_version => Err(ReasonCode::UnsupportedSchemaVersion),
        version if version < 1 => Err(ReasonCode::OutOfRange),
        version => Ok(version),
    }
}
