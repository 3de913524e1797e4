//! Checks the input of the AWS SDK before it reads it: a bad value is refused by the name of its variable or profile.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use aws_config::SdkConfig;
#[expect(deprecated, reason = "the only name under which this crate shows them")]
use aws_config::profile::profile_file::ProfileFiles;
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::ServiceConfigKey;
use bluelake_queries::{did_you_mean, nearest};
use url::Url;

use crate::terminal::failure::WrongUsage;

const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// Names a file each.
const FILES: [&str; 2] = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
const RETRY_MODES: [&str; 2] = ["standard", "adaptive"];
/// The services that are called, by the SDK's names.
const SERVICES: [&str; 3] = ["S3", "Kinesis", "Redshift Data"];

/// Checks every variable of the SDK.
///
/// # Errors
/// [`WrongUsage`] that names the first variable with an invalid value.
pub(super) fn variables(environment: impl Iterator<Item = (OsString, OsString)>) -> Result<()> {
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("AWS_")) else { continue };
        let text = text.to_str().ok_or_else(|| refusal(name, "it is not UTF-8"))?;
        check(name, text).map_err(|fault| refusal(name, fault))?;
    }
    Ok(())
}

fn refusal(what: impl Display, fault: impl Display) -> anyhow::Error {
    WrongUsage::new(format!("{what}: {fault}")).into()
}

fn check(name: &str, text: &str) -> Result<()> {
    match name {
        "AWS_REGION" | "AWS_DEFAULT_REGION" => region(text),
        "AWS_MAX_ATTEMPTS" => attempts(text),
        "AWS_RETRY_MODE" => retry_mode(text),
        "AWS_USE_FIPS_ENDPOINT"
        | "AWS_USE_DUALSTACK_ENDPOINT"
        | "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
        | "AWS_EC2_METADATA_DISABLED" => yes_or_no(text),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT" | "AWS_CONTAINER_CREDENTIALS_FULL_URI" => endpoint(text),
        _ if name == ENDPOINT || name.starts_with("AWS_ENDPOINT_URL_") => endpoint(text),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => credential(text),
        _ if FILES.contains(&name) => file(text),
        _ => Ok(()),
    }
}

/// The value itself is not quoted when it may hold a password.
fn endpoint(text: &str) -> Result<()> {
    ensure!(
        !text.contains(|character: char| character.is_whitespace() || character.is_control()),
        "it holds white space"
    );
    let example = "write for example http://127.0.0.1:4566";
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && text.contains("://"));
    let Some(url) = url else { return Err(anyhow!("it is no URL that begins with http:// or https://; {example}")) };
    ensure!(url.host_str().is_some_and(|host| !host.is_empty()), "{text:?} names no host; {example}");
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "an endpoint has no user and no password; {example}"
    );
    ensure!(
        url.query().is_none() && url.fragment().is_none(),
        "{text:?}: an endpoint has no query and no fragment; {example}"
    );
    Ok(())
}

fn region(text: &str) -> Result<()> {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '-';
    ensure!(
        text.len() <= 63 && text.chars().all(fits) && !text.starts_with('-') && !text.ends_with('-'),
        "{text:?} is no name of a region; write for example us-east-1"
    );
    Ok(())
}

/// Checks a text that goes into a header of every call. The value is a secret.
fn credential(text: &str) -> Result<()> {
    ensure!(text.chars().all(|character| character.is_ascii_graphic()), "it holds characters that no credential has");
    Ok(())
}

fn attempts(text: &str) -> Result<()> {
    ensure!(text.parse::<u32>().is_ok_and(|attempts| attempts > 0), "{text:?} is no whole number of at least 1");
    Ok(())
}

fn retry_mode(text: &str) -> Result<()> {
    let lower = text.trim().to_ascii_lowercase();
    ensure!(
        RETRY_MODES.contains(&lower.as_str()),
        "{text:?} is neither standard nor adaptive{}",
        did_you_mean(nearest(&lower, RETRY_MODES).as_ref())
    );
    Ok(())
}

fn yes_or_no(text: &str) -> Result<()> {
    let lower = text.to_ascii_lowercase();
    ensure!(["true", "false"].contains(&lower.as_str()), "{text:?} is neither true nor false");
    Ok(())
}

fn file(text: &str) -> Result<()> {
    // The SDK replaces it by the home folder.
    if text.starts_with('~') {
        return Ok(());
    }
    std::fs::read_to_string(Path::new(text)).map(|_| ()).map_err(|error| anyhow!("cannot read {text:?}: {error}"))
}

/// Checks the profile files and the keys of the chosen profile.
///
/// # Errors
/// [`WrongUsage`] for unreadable files, a missing profile, or a key with an invalid value.
#[expect(deprecated, reason = "the only name under which this crate shows the files")]
pub(super) async fn profiles() -> Result<()> {
    let loaded = aws_config::profile::load(&Fs::real(), &Env::real(), &ProfileFiles::default(), None).await;
    let profiles = loaded.map_err(|error| {
        refusal("the AWS profile files (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE)", bluelake_lake::causes(&error))
    })?;
    let selected = profiles.selected_profile();
    if std::env::var_os("AWS_PROFILE").is_some() && profiles.get_profile(selected).is_none() {
        let hint = did_you_mean(nearest(selected, profiles.profiles()).as_ref());
        return Err(refusal("AWS_PROFILE", format!("no AWS profile file has a profile {selected:?}{hint}")));
    }
    type Look = fn(&str) -> Result<()>;
    let keys: [(&str, Look); 7] = [
        ("max_attempts", attempts),
        ("retry_mode", retry_mode),
        ("endpoint_url", endpoint),
        ("region", region),
        ("aws_access_key_id", credential),
        ("aws_secret_access_key", credential),
        ("aws_session_token", credential),
    ];
    for (key, look) in keys {
        if let Some(text) = profiles.get(key) {
            look(text).map_err(|fault| refusal(format!("{key} of the AWS profile {selected:?}"), fault))?;
        }
    }
    Ok(())
}

/// Checks the loaded configuration: endpoints of services may also be in sections of their own.
///
/// # Errors
/// [`WrongUsage`] for an invalid endpoint or region.
pub(super) fn loaded(config: &SdkConfig) -> Result<()> {
    if let Some(name) = config.region() {
        region(name.as_ref()).map_err(|fault| refusal("the AWS region (AWS_REGION, or the profile's)", fault))?;
    }
    for service in SERVICES {
        let key = ServiceConfigKey::builder().service_id(service).env(ENDPOINT).profile("endpoint_url").build()?;
        let text = config.service_config().and_then(|services| services.load_config(key));
        if let Some(text) = text {
            endpoint(&text).map_err(|fault| refusal(format!("the endpoint of {service} in the AWS profile"), fault))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fault(name: &str, text: &str) -> Option<String> {
        variables([(name.into(), text.into())].into_iter()).err().map(|error| error.to_string())
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (name, text) in [
            ("AWS_ENDPOINT_URL_S3", "localhost:9000"),
            ("AWS_ENDPOINT_URL", "127.0.0.1"),
            ("AWS_ENDPOINT_URL_KINESIS", "ftp://host"),
            ("AWS_ENDPOINT_URL_KINESIS", "http://"),
            ("AWS_ENDPOINT_URL_KINESIS", "http:host"),
            ("AWS_ENDPOINT_URL_STS", "http://host:99999"),
            ("AWS_ENDPOINT_URL", "http://host/?x=1"),
            ("AWS_ENDPOINT_URL", " http://host"),
            ("AWS_REGION", "us east 1"),
            ("AWS_DEFAULT_REGION", "http://us-east-1"),
            ("AWS_MAX_ATTEMPTS", "0"),
            ("AWS_MAX_ATTEMPTS", "many"),
            ("AWS_RETRY_MODE", "legacy"),
            ("AWS_USE_FIPS_ENDPOINT", "yes"),
            ("AWS_ACCESS_KEY_ID", "with\nline"),
            ("AWS_SESSION_TOKEN", "caf\u{e9}"),
            ("AWS_CONFIG_FILE", "/"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/no/such/file"),
        ] {
            let message = fault(name, text).unwrap_or_else(|| panic!("{name}={text} was taken"));
            assert!(message.starts_with(&format!("{name}: ")) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn usual_values_are_taken() {
        for (name, text) in [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
            ("AWS_ENDPOINT_URL_S3", "https://storage.example/v1/s3/"),
            ("AWS_ENDPOINT_URL_S3", "http://[::1]:9000"),
            ("AWS_REGION", "us-gov-west-1"),
            ("AWS_MAX_ATTEMPTS", "1"),
            ("AWS_RETRY_MODE", "Adaptive"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_CONFIG_FILE", "~/.aws/config"),
            ("AWS_SECRET_ACCESS_KEY", "wJalr/K7MD+x=ENG"),
            ("PATH", "http://"),
        ] {
            assert_eq!(fault(name, text), None, "{name}={text}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_not_repeated() {
        let message = fault("AWS_ENDPOINT_URL", "https://me:secret@host").unwrap();
        assert!(message.contains("no password") && !message.contains("secret"), "{message}");
    }
}
