//! Several deliveries at one target: processes that are killed in turns, and runs and rebuilds at once.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use bluelake_deliver::{Columns, Delivery, DeliveryOptions, Target};
use bluelake_lake::Lake;
use bluelake_schemas::Contract;
use tokio_util::sync::CancellationToken;

use super::{World, lake_at, options};

const LAKE: &str = "BLUELAKE_TEST_DELIVER_LAKE";

/// Follows the lake of [`Processes`] until it is killed.
pub(crate) async fn follow<T: Target>(target: impl FnOnce(&Lake) -> T, columns: Columns) {
    let lake = lake_at(std::path::Path::new(&std::env::var(LAKE).unwrap()));
    let target = target(&lake);
    let options = DeliveryOptions { once: false, interval: Duration::from_millis(1), ..options(columns) };
    let mut delivery = Delivery::new(lake, Contract::embedded().unwrap(), target, options);
    delivery.run(&CancellationToken::new()).await.unwrap();
}

/// Two processes that follow a lake.
pub(crate) struct Processes {
    command: Command,
    children: [Child; 2],
}

impl Processes {
    /// Starts them. Each is the ignored test of this name, which calls [`follow`]; `place` has the variables that tell it where
    /// the target is.
    pub(crate) fn start(world: &World, test: &str, place: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--ignored"]).env(LAKE, world.folder.path()).envs(place.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let children = [command.spawn().unwrap(), command.spawn().unwrap()];
        Self { command, children }
    }

    /// Kills one of them, in turns, and starts another.
    pub(crate) fn kill(&mut self, turn: u64) {
        let child = &mut self.children[usize::try_from(turn % 2).unwrap()];
        child.kill().unwrap();
        child.wait().unwrap();
        *child = self.command.spawn().unwrap();
    }

    pub(crate) fn end(mut self) {
        for child in &mut self.children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Runs three deliveries at once.
pub(crate) async fn run_at_once<T: Target>(deliveries: &mut [Delivery<T>; 3]) {
    let shutdown = CancellationToken::new();
    let runs = deliveries.iter_mut().map(|delivery| delivery.run(&shutdown));
    for delivered in futures::future::join_all(runs).await {
        delivered.unwrap();
    }
}

/// Runs two rebuilds and a delivery at once.
pub(crate) async fn rebuild_at_once<T: Target>([first, second, other]: &mut [Delivery<T>; 3]) {
    let shutdown = CancellationToken::new();
    let (first, second, other) =
        tokio::join!(first.rebuild(&shutdown), second.rebuild(&shutdown), other.run(&shutdown));
    for delivered in [first, second, other] {
        delivered.unwrap();
    }
}
