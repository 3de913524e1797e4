//! Rules: the calls that are meant, those that are taken, and what happens to them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{Method, StatusCode};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

use crate::call::{Answer, Call};

type Condition = Box<dyn Fn(&Call) -> bool + Send + Sync>;
type AnswerBy = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;
type ChangeCall = Arc<dyn Fn(&mut Call) + Send + Sync>;
type ChangeAnswer = Arc<dyn Fn(&Call, &mut Answer) + Send + Sync>;
type Look = Arc<dyn Fn(&Call, &Answer) + Send + Sync>;

/// The calls that a rule means: those that meet every condition.
#[derive(Default)]
pub struct When(Vec<Condition>);

impl When {
    /// Every call.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Calls of this method.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        self.that(move |call| call.method == method)
    }

    /// Calls of this operation of Kinesis.
    #[must_use]
    pub fn operation(self, name: &'static str) -> Self {
        self.that(move |call| call.operation() == Some(name))
    }

    /// Calls with this part in their path and query.
    #[must_use]
    pub fn path_contains(self, part: &'static str) -> Self {
        self.that(move |call| call.path.contains(part))
    }

    /// Calls whose path, without the query, ends like this.
    #[must_use]
    pub fn path_ends_with(self, end: &'static str) -> Self {
        self.that(move |call| call.path.split('?').next().is_some_and(|path| path.ends_with(end)))
    }

    /// Calls with this header and any value.
    #[must_use]
    pub fn header(self, name: &'static str) -> Self {
        self.that(move |call| call.headers.contains_key(name))
    }

    /// Calls that meet this condition.
    #[must_use]
    pub fn that(mut self, condition: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        self.0.push(Box::new(condition));
        self
    }

    fn holds(&self, call: &Call) -> bool {
        self.0.iter().all(|condition| condition(call))
    }
}

/// The calls that a rule takes, of those that it means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    /// All of them.
    Every,
    /// One of them, counted from 1.
    Nth(usize),
    /// The first N.
    First(usize),
    /// Every n-th.
    EveryNth(usize),
    /// A share from 0 to 1, drawn by a seed.
    Share {
        /// The share.
        share: f64,
        /// Equal seeds take the same calls.
        seed: u64,
    },
}

/// Holds calls back until it is opened. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// One that is closed.
    #[must_use]
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        // An error means that no clone can open it; this clone can.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// What happens to a call that a rule takes. *Forwarded* is sent to the server.
#[derive(Clone)]
pub enum Action {
    /// This is answered; the call is not forwarded.
    Answer(Answer),
    /// The function's result is answered; the call is not forwarded.
    AnswerBy(AnswerBy),
    /// The call is not forwarded, and the connection is reset.
    Refuse,
    /// It is neither forwarded nor answered.
    BlackHole,
    /// It is forwarded; the connection is closed without the answer.
    LoseAnswer,
    /// It is forwarded; this answer replaces the server's.
    ReplaceAnswer(Answer),
    /// It is forwarded twice; the second answer is given.
    Repeat,
    /// It is forwarded after a pause.
    DelayCall(Duration),
    /// Its answer is given after a pause.
    DelayAnswer(Duration),
    /// It is forwarded when the gate opens.
    Hold(Gate),
    /// The connection is reset at once, as if the call were lost; it is forwarded when the gate opens.
    DeliverLate(Gate),
    /// The answer's body comes at N bytes a second.
    Drip(usize),
    /// N bytes of the answer's body come, under the full length; then the connection is closed.
    Truncate(usize),
    /// N bytes of the answer's body come; then the connection is reset.
    Reset(usize),
    /// The function changes the call before it is forwarded.
    AlterCall(ChangeCall),
    /// The function changes the answer.
    Alter(ChangeAnswer),
    /// The function sees the answer. Later rules may take the call too.
    Watch(Look),
}

impl Action {
    /// [`Action::AnswerBy`] this function.
    pub fn answer_by(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        Self::AnswerBy(Arc::new(answer))
    }

    /// [`Action::AlterCall`] by this function.
    pub fn alter_call(change: impl Fn(&mut Call) + Send + Sync + 'static) -> Self {
        Self::AlterCall(Arc::new(change))
    }

    /// [`Action::Alter`] by this function.
    pub fn alter(change: impl Fn(&Call, &mut Answer) + Send + Sync + 'static) -> Self {
        Self::Alter(Arc::new(change))
    }

    /// [`Action::Watch`] by this function.
    pub fn watch(look: impl Fn(&Call, &Answer) + Send + Sync + 'static) -> Self {
        Self::Watch(Arc::new(look))
    }
}

/// An action for some calls.
pub struct Rule {
    when: When,
    which: Which,
    action: Action,
}

impl Rule {
    /// A rule, to be given to a proxy.
    #[must_use]
    pub fn new(when: When, which: Which, action: Action) -> Self {
        Self { when, which, action }
    }
}

#[derive(Clone, Debug, Default)]
struct Counts {
    seen: usize,
    taken: usize,
    forwarded: Vec<StatusCode>,
}

/// A rule in force, with its counts.
pub(crate) struct InForce {
    rule: Rule,
    chance: Mutex<Option<StdRng>>,
    counts: watch::Sender<Counts>,
}

impl InForce {
    /// The action, if the rule takes this call; counts it.
    pub(crate) fn take(&self, call: &Call) -> Option<Action> {
        if !self.rule.when.holds(call) {
            return None;
        }
        let mut action = None;
        self.counts.send_modify(|counts| {
            counts.seen += 1;
            if self.chosen(counts.seen) {
                counts.taken += 1;
                action = Some(self.rule.action.clone());
            }
        });
        action
    }

    fn chosen(&self, number: usize) -> bool {
        match self.rule.which {
            Which::Every => true,
            Which::Nth(nth) => number == nth,
            Which::First(first) => number <= first,
            Which::EveryNth(nth) => number.is_multiple_of(nth.max(1)),
            Which::Share { share, seed } => {
                let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
                chance.get_or_insert_with(|| StdRng::seed_from_u64(seed)).random_bool(share.clamp(0.0, 1.0))
            }
        }
    }

    /// Counts the server's answer to a taken call.
    pub(crate) fn observe(&self, status: StatusCode) {
        self.counts.send_modify(|counts| counts.forwarded.push(status));
    }
}

pub(crate) type Rules = Arc<Mutex<Vec<Arc<InForce>>>>;

/// A rule in a proxy: it reports its effects, and can be removed.
pub struct Placed {
    pub(crate) rule: Arc<InForce>,
    rules: Rules,
}

impl Placed {
    pub(crate) fn new(rule: Rule, rules: &Rules) -> Self {
        let rule = Arc::new(InForce { rule, chance: Mutex::default(), counts: watch::Sender::default() });
        rules.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&rule));
        Self { rule, rules: Arc::clone(rules) }
    }

    /// The number of calls that it means and has seen.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.rule.counts.borrow().seen
    }

    /// The number of those that it has taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.rule.counts.borrow().taken
    }

    /// The server's answers to taken and forwarded calls, in their order.
    #[must_use]
    pub fn forwarded(&self) -> Vec<StatusCode> {
        self.rule.counts.borrow().forwarded.clone()
    }

    /// Waits until it has taken `calls` calls.
    pub async fn until_taken(&self, calls: usize) {
        self.until(|counts| counts.taken >= calls).await;
    }

    /// Waits until the server has answered `calls` of the taken calls.
    pub async fn until_forwarded(&self, calls: usize) {
        self.until(|counts| counts.forwarded.len() >= calls).await;
    }

    async fn until(&self, reached: impl Fn(&Counts) -> bool) {
        // The sender lives as long as the rule, which is here.
        let _ = self.rule.counts.subscribe().wait_for(|counts| reached(counts)).await;
    }

    /// Removes it; calls that it has taken already keep its action.
    pub fn remove(&self) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|rule| !Arc::ptr_eq(rule, &self.rule));
    }
}

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").field("counts", &*self.rule.counts.borrow()).finish_non_exhaustive()
    }
}
