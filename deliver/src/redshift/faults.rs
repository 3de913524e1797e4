//! What the Data API or the database says, as one message that names the target, the table and what to do.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_redshiftdata::error::{ProvideErrorMetadata, SdkError};
use bluelake_lake::{LakeError, causes};

use super::RedshiftOptions;
use crate::error::DeliverError;

/// More of a message of the database may quote values of rows.
const SAID_MAX: usize = 300;

impl RedshiftOptions {
    /// What the target does not do.
    pub(super) fn refused(&self, about: &str, problem: &str, remedy: &str) -> DeliverError {
        DeliverError::refused(&self.name, &self.address, [about, problem, remedy])
    }

    /// That a table must be loaded anew.
    pub(super) fn rebuild(&self, table: &str, reason: &str) -> DeliverError {
        DeliverError::Rebuild { target: self.name.clone(), table: table.to_owned(), reason: reason.to_owned() }
    }

    /// What the SDK or the Data API said to a call.
    pub(super) fn of_call<E>(&self, operation: &str, about: &str, error: SdkError<E>) -> DeliverError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let said = error
            .as_service_error()
            .and_then(|said| Some((said.code()?.to_owned(), said.message().unwrap_or_default().to_owned())));
        let Some((code, message)) = said else {
            if lacks_credentials(&error) {
                let problem = format!("{operation}: there are no credentials of AWS");
                return self.refused(about, &problem, "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run it with a role");
            }
            return self.unreachable(operation, about, error.into());
        };
        let mut verdict = verdict_of_call(&code, &message, self);
        verdict.passes |= is_of_server(&error);
        self.of_verdict(about, format!("{operation}: {} ({code})", first_line(&message)), verdict)
    }

    /// That nobody knows what became of a request.
    pub(super) fn unreachable(
        &self,
        operation: &str,
        about: &str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> DeliverError {
        DeliverError::Unreachable {
            target: self.name.clone(),
            address: self.address.to_string(),
            operation: format!("{operation}, {about}"),
            table: None,
            source,
        }
    }

    /// What the database said to a statement.
    pub(super) fn of_statement(&self, operation: &str, about: &str, said: &str) -> DeliverError {
        self.of_verdict(about, format!("{operation}: {}", first_line(said)), verdict_of_statement(said, self))
    }

    /// What the bucket said of what is staged.
    pub(super) fn of_staging(&self, about: &str, error: &LakeError) -> DeliverError {
        let remedy = format!("let the program list, read, write and delete objects below {}", self.own_prefix());
        let passes = error.is_transient();
        self.of_verdict(about, format!("cannot stage rows: {}", causes(error)), Verdict { remedy, passes })
    }

    fn of_verdict(&self, about: &str, problem: String, verdict: Verdict) -> DeliverError {
        DeliverError::Refused {
            target: self.name.clone(),
            address: self.address.to_string(),
            table: about.to_owned(),
            problem,
            remedy: verdict.remedy,
            passes: verdict.passes,
        }
    }
}

/// The first line of what was said, which is not long.
fn first_line(said: &str) -> String {
    let line = said.lines().next().unwrap_or_default().trim().trim_start_matches("ERROR: ");
    line.chars().take(SAID_MAX).collect()
}

struct Verdict {
    remedy: String,
    passes: bool,
}

/// Whether a call may be repeated at once because the service was busy.
fn is_busy(code: &str) -> bool {
    ["ActiveStatementsExceededException", "ActiveSessionsExceededException", "ActiveWaitingRequestsExceededException"]
        .contains(&code)
        || ["Throttl", "TooManyRequests", "ServiceUnavailable", "RequestTimeout"].iter().any(|part| code.contains(part))
        || code == "InternalServerException"
}

/// Whether the same request may be answered otherwise a moment later: the service was busy, or there was no whole answer.
pub(super) fn may_be_repeated<E>(error: &SdkError<E>) -> bool
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(said) => is_of_server(error) || said.err().code().is_none_or(is_busy),
        SdkError::ConstructionFailure(_) => false,
        _ => !lacks_credentials(error),
    }
}

/// Whether the service says that the fault is its own. That a database cannot be reached is such a fault as well, and takes longer.
fn is_of_server<E>(error: &SdkError<E>) -> bool {
    error.raw_response().is_some_and(|response| response.status().is_server_error())
}

/// Whether the chain of credentials has none. A source that failed may give some the next time.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(CredentialsError::CredentialsNotLoaded(_)) = error.downcast_ref::<CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Pure: what to do about a code of the Data API, and whether it may pass by itself.
fn verdict_of_call(code: &str, message: &str, options: &RedshiftOptions) -> Verdict {
    let passes = is_busy(code) || ["DatabaseConnectionException", "QueryTimeoutException"].contains(&code);
    let remedy = match code {
        _ if passes => "it is tried again; the Data API is busy, or the database is paused or starts".to_owned(),
        "AccessDeniedException" => format!(
            "let the program call redshift-data:ExecuteStatement, BatchExecuteStatement, DescribeStatement, GetStatementResult and {} (docs/delivery.md)",
            options.entry_action()
        ),
        "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "IncompleteSignature" => "the credentials of AWS are wrong or have expired: renew them".to_owned(),
        "ResourceNotFoundException" | "ValidationException" => format!(
            "check the address, secret_arn and the Region of AWS: there is no {} of this kind, or it is not to be opened so",
            options.address
        ),
        _ if message.contains("secret") => "check secret_arn, and let the program read it".to_owned(),
        _ => "see the console of Redshift".to_owned(),
    };
    Verdict { remedy, passes }
}

/// Whether two transactions were in each other's way.
pub(super) fn is_conflict(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    // The number alone may be any number.
    [
        "error: 1023",
        "error:1023",
        "serializable isolation violation",
        "could not serialize",
        "deadlock",
        "concurrent transaction",
    ]
    .iter()
    .any(|part| said.contains(part))
}

/// Pure: what to do about what the database said, and whether it may pass by itself. It has no codes, only words.
fn verdict_of_statement(said: &str, options: &RedshiftOptions) -> Verdict {
    let words = said.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let schema = &options.schema;
    if is_conflict(said) {
        return Verdict { remedy: "another transaction was in its way; it is tried again".to_owned(), passes: true };
    }
    if has(&[
        "terminating connection",
        "connection",
        "shut down",
        "shutting down",
        "starting up",
        "restart",
        "aborted by",
        "cancel",
        "timeout",
        "timed out",
    ]) {
        return Verdict {
            remedy: "it is tried again; see the state of the cluster or workgroup".to_owned(),
            passes: true,
        };
    }
    // A check of the transaction itself: the position moved, a load ended and was begun anew, or COPY gave fewer rows.
    if has(&["by zero"]) {
        let remedy =
            "another process was faster, or not all staged rows came; nothing was changed, and it is tried again";
        return Verdict { remedy: remedy.to_owned(), passes: true };
    }
    let remedy = if has(&[
        "permission denied for database",
        "permission denied for schema",
        "must be owner",
        "permission denied",
    ]) {
        format!(
            "let an administrator run: CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION the_user, or GRANT USAGE, CREATE ON SCHEMA {schema} TO the_user"
        )
    } else if has(&["depend on it"]) {
        "views or tables of yours depend on it: drop them, run it again, and make them anew (WITH NO SCHEMA BINDING they stay)".to_owned()
    } else if has(&["disk full", "out of space"]) {
        return Verdict { remedy: "make room in the database; nothing is half done".to_owned(), passes: true };
    } else if has(&["s3", "spectrum", "iam", "assume", "credential", "manifest", "parquet", "copy", "load_error"]) {
        format!(
            "let iam_role list and read {}, in the Region of the database, and be a role of it; SYS_LOAD_ERROR_DETAIL says more; nothing is half done",
            options.own_prefix()
        )
    } else if has(&["database", "does not exist"]) && has(&["does not exist"]) {
        "check the database in the address, and the right to see the schema".to_owned()
    } else {
        "see SYS_QUERY_HISTORY of the database; nothing is half done".to_owned()
    };
    Verdict { remedy, passes: false }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::options, *};

    #[test]
    fn each_answer_says_what_to_do() {
        let options = options();
        for (code, expected, passes) in [
            ("AccessDeniedException", "redshift-serverless:GetCredentials", false),
            ("ExpiredTokenException", "renew them", false),
            ("ValidationException", "redshift-serverless://points/dev", false),
            ("ThrottlingException", "tried again", true),
            ("ActiveStatementsExceededException", "tried again", true),
            ("InternalServerException", "tried again", true),
            ("ServiceUnavailableException", "tried again", true),
        ] {
            let found = verdict_of_call(code, "", &options);
            assert!(found.remedy.contains(expected), "{code}: {}", found.remedy);
            assert_eq!(found.passes, passes, "{code}");
        }
    }

    #[test]
    fn each_refusal_of_the_database_says_what_to_do() {
        let options = options();
        for (said, expected, passes) in [
            ("ERROR: permission denied for schema bluelake", "GRANT USAGE, CREATE ON SCHEMA bluelake", false),
            ("ERROR: 1023 DETAIL: Serializable isolation violation on table - 1", "tried again", true),
            ("ERROR: deadlock detected", "tried again", true),
            (
                "ERROR: S3ServiceException:Access Denied,Status 403",
                "let iam_role list and read s3://bucket/staging/finance",
                false,
            ),
            ("ERROR: cannot drop table t because other objects depend on it", "views or tables of yours", false),
            ("ERROR: Disk Full", "make room", true),
            ("ERROR: division by zero", "another process was faster", true),
            ("FATAL: database \"nowhere\" does not exist", "check the database", false),
            ("ERROR: something new", "SYS_QUERY_HISTORY", false),
        ] {
            let found = verdict_of_statement(said, &options);
            assert!(found.remedy.contains(expected), "{said}: {}", found.remedy);
            assert_eq!(found.passes, passes, "{said}");
        }
    }

    #[test]
    fn only_an_error_1023_is_a_conflict() {
        for said in [
            "ERROR: 1023\nDETAIL: Serializable isolation violation on table - 1",
            "ERROR:1023",
            "ERROR: deadlock detected",
        ] {
            assert!(is_conflict(said), "{said}");
        }
        for said in
            ["ERROR: value too long for type character varying(1023)", "ERROR: relation with OID 110232 is gone"]
        {
            assert!(!is_conflict(said), "{said}");
        }
    }

    #[test]
    fn words_of_the_database_are_not_repeated_at_length() {
        assert_eq!(first_line("ERROR: one\n  detail: a value"), "one");
        assert_eq!(first_line(&"x".repeat(10_000)).len(), SAID_MAX);
    }
}
