//! Named points at which fault tests can inject faults. Without the feature `failpoints` they have no effect.
//!
//! The environment variable `FAILPOINTS` sets them, in the syntax of the crate `fail`, with one of our actions as the
//! value returned: `before_document=return(abort)`, `after_delta_commit=2*off->1*return(err)->off`.
//!
//! | action | then |
//! | --- | --- |
//! | `abort` | the process kills itself with SIGKILL |
//! | `err` | the step fails with an error that may pass |
//! | `hang` | the step never ends |
//! | `delay MILLIS` | the step waits |

use crate::error::LakeError;

/// Reads the settings of the environment. Call it once, before anything else.
pub fn setup() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// Passes the point `name`, or takes the action that is set for it.
///
/// # Errors
/// [`LakeError::Store`], as of a store that fails, when `err` is set.
#[cfg(not(feature = "failpoints"))]
#[allow(clippy::unused_async)]
pub async fn pass(_name: &'static str) -> Result<(), LakeError> {
    Ok(())
}

/// Passes the point `name`, or takes the action that is set for it.
///
/// # Errors
/// [`LakeError::Store`], as of a store that fails, when `err` is set.
#[cfg(feature = "failpoints")]
pub async fn pass(name: &'static str) -> Result<(), LakeError> {
    let action = fail::eval(name, |action| action.unwrap_or_default());
    let Some(action) = action else { return Ok(()) };
    match action.split_once(' ').unwrap_or((&action, "")) {
        ("abort", _) => {
            // As sudden as a kill from outside: without flushing or dropping anything.
            let me = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-KILL", &me]).status();
            std::future::pending().await
        }
        ("hang", _) => std::future::pending().await,
        ("delay", millis) => {
            tokio::time::sleep(std::time::Duration::from_millis(millis.parse().unwrap_or(1_000))).await;
            Ok(())
        }
        _ => Err(LakeError::Store {
            operation: "pass the failpoint",
            path: name.to_owned(),
            source: object_store::Error::Generic { store: "failpoint", source: "set to fail".into() },
        }),
    }
}
