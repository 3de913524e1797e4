//! The health of a delivery, for who watches it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use bluelake_deliver::{DeliveryProgress, describe_delivery_metrics};
use tokio::task::JoinSet;

use crate::operate::serve::{MetricsServer, Served, install_recorder};

/// A delivery that is watched.
struct Watched {
    progress: DeliveryProgress,
    tables: Vec<String>,
}

impl Served for Watched {
    fn publish(&self) {
        describe_delivery_metrics();
        self.progress.publish(chrono::Utc::now().into());
    }

    fn ills(&self) -> Vec<String> {
        self.progress.trouble().into_iter().collect()
    }

    fn unready(&self) -> Vec<String> {
        let tables = self.progress.tables();
        let is_held = |table: &str| tables.iter().any(|(name, progress)| *name == table && progress.held.is_some());
        let missing = self.tables.iter().filter(|table| !is_held(table));
        missing.map(|table| format!("{table}: the target does not hold it yet")).collect()
    }
}

/// Serves metrics and health of a delivery until the set is dropped.
///
/// # Errors
/// When the address cannot be taken.
pub(crate) async fn watch(
    progress: DeliveryProgress,
    tables: Vec<String>,
    listen: Option<SocketAddr>,
) -> Result<JoinSet<()>> {
    let mut background = JoinSet::new();
    if let Some(address) = listen {
        let served = Arc::new(Watched { progress, tables });
        let server = MetricsServer::bind(address, served, install_recorder()?).await?;
        background.spawn(server.run());
    }
    Ok(background)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_deliver::DELIVERY_METRICS;

    use super::*;

    #[test]
    fn it_is_ready_when_every_table_was_loaded() {
        let watched = Watched { progress: DeliveryProgress::new("t"), tables: vec!["transactions".to_owned()] };
        assert_eq!(watched.unready(), ["transactions: the target does not hold it yet"]);
        assert!(watched.ills().is_empty());
    }

    #[test]
    fn the_manual_explains_each_metric() {
        let manual = include_str!("../../docs/delivery.md");
        for (name, _) in DELIVERY_METRICS {
            assert!(manual.contains(&format!("| `{name}`")), "{name}");
        }
    }
}
