//! What cannot be delivered to is told in one message, and nothing is half done.

use bluelake_deliver::{Address, PostgresOptions, PostgresTarget, Surroundings};
use bluelake_lake::causes;
use tokio_util::sync::CancellationToken;

use crate::{
    server::{PASSWORD, Server, rows, value},
    world::{World, deliver, run, target, target_at, try_deliver},
};

async fn message(world: &World, target: PostgresTarget) -> String {
    let error = try_deliver(world, target).await.unwrap_err();
    let message = causes(&error);
    assert!(message.contains("target 'warehouse'") && !message.contains(PASSWORD), "{message}");
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_names_the_target_and_what_to_do() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(5).await;
    let client = server.client().await;
    run(&client, &format!("CREATE ROLE poor LOGIN PASSWORD '{PASSWORD}'")).await;
    run(&client, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0").await;
    let at = |user: &str, database: &str, password: &str| {
        target_at(&format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", server.port), "lake")
    };
    for (target, expected) in [
        (at("owner", "postgres", "wrong"), "PGPASSFILE"),
        (at("nobody", "postgres", PASSWORD), "PGPASSFILE"),
        (at("owner", "nowhere", PASSWORD), "createdb nowhere"),
        (at("owner", "latin", PASSWORD), "ENCODING 'UTF8'"),
        (at("poor", "postgres", PASSWORD), "CREATE SCHEMA IF NOT EXISTS \"lake\" AUTHORIZATION \"poor\""),
        (target_at(&format!("postgres://owner:{PASSWORD}@127.0.0.1:1/postgres"), "lake"), "refused"),
    ] {
        let message = message(&world, target).await;
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'lake'";
    assert_eq!(value(&client, schemas).await, "0", "nothing is half done");
    // A schema of one's own is all that it takes.
    run(&client, "CREATE SCHEMA lake AUTHORIZATION poor").await;
    try_deliver(&world, at("poor", "postgres", PASSWORD)).await.unwrap();
    world.expect_equal(&server, "lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_stay_as_they_are() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(5).await;
    let client = server.client().await;
    run(&client, "CREATE SCHEMA lake; CREATE TABLE lake.users (name text); INSERT INTO lake.users VALUES ('mine')")
        .await;
    let told = message(&world, target(&server, "lake")).await;
    assert!(told.contains("'users' that Bluelake did not make") && told.contains("another schema"), "{told}");
    assert_eq!(value(&client, "SELECT name FROM lake.users").await, "mine");
    run(&client, "DROP TABLE lake.users").await;
    deliver(&world, &server).await;
    // A column of another type, and a table that is gone.
    run(&client, "ALTER TABLE lake.user_events ALTER phone TYPE varchar(20)").await;
    world.add_users(5).await;
    let told = message(&world, target(&server, "lake")).await;
    assert!(told.contains("'phone'") && told.contains("bluelake deliver rebuild warehouse"), "{told}");
    run(&client, "DROP TABLE lake.user_events").await;
    let told = message(&world, target(&server, "lake")).await;
    assert!(told.contains("gone from the target") && told.contains("bluelake deliver rebuild"), "{told}");
    // A view of somebody's own holds up an exchange; what is in use stays.
    run(&client, "CREATE VIEW public.mine AS SELECT user_id FROM lake.users").await;
    let rebuild = async || world.delivery(target(&server, "lake")).rebuild(&CancellationToken::new()).await;
    let told = causes(&rebuild().await.unwrap_err());
    assert!(told.contains("views or tables of yours depend on it"), "{told}");
    run(&client, "DROP VIEW public.mine").await;
    rebuild().await.unwrap();
    world.expect_equal(&server, "lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_read_all_and_change_nothing() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(20).await;
    world.add_transactions(20).await;
    let client = server.client().await;
    let reading = || {
        let address = Address::parse(&server.address(), &Surroundings::default()).unwrap();
        let read_role = Some("reader".to_owned());
        let name = "warehouse".to_owned();
        PostgresTarget::new(PostgresOptions { name, address, schema: "lake".to_owned(), read_role })
    };
    let told = message(&world, reading()).await;
    assert!(told.contains("read_role"), "{told}");
    run(&client, "CREATE ROLE reader").await;
    // One that was delivered to before is opened to the role, too.
    deliver(&world, &server).await;
    try_deliver(&world, reading()).await.unwrap();
    run(&client, "SET ROLE reader").await;
    for relation in ["users", "user_events", "transactions", "donations", "redemption_items", "deliveries"] {
        assert!(!rows(&client, &format!("SELECT count(*) FROM lake.{relation}")).await.is_empty());
    }
    assert!(client.batch_execute("DELETE FROM lake.users").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_can_be_encrypted() {
    let Some(mut server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(5).await;
    let data = server.data();
    let made = std::process::Command::new("openssl")
        .args(["req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .arg(data.join("server.crt"))
        .arg("-keyout")
        .arg(data.join("server.key"))
        .output();
    if !made.as_ref().is_ok_and(|made| made.status.success()) {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"DID NOT RUN: there is no openssl to make a certificate\n",
        );
        return;
    }
    for name in ["server.crt", "server.key"] {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let owner = std::fs::metadata(data.join("PG_VERSION")).unwrap();
        std::os::unix::fs::chown(data.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    server.stop().await;
    std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
    server.run().await;
    let certificate = world.folder.path().join("root.crt");
    std::fs::copy(data.join("server.crt"), &certificate).unwrap();
    let known = format!("{}?sslrootcert={}", server.address(), certificate.display());
    try_deliver(&world, target_at(&known, "lake")).await.unwrap();
    world.expect_equal(&server, "lake").await;
    let ask = "SELECT count(*) FROM pg_stat_ssl WHERE ssl";
    assert_eq!(value(&server.client().await, ask).await, "0", "the test itself is not encrypted");
    let unknown = format!("{}?sslmode=verify-full", server.address());
    let told = message(&world, target_at(&unknown, "lake")).await;
    assert!(told.contains("certificate"), "{told}");
    // The server knows no tokens of IAM; so it tells that one came.
    let address = Address::parse(&format!("{}&auth=iam", known.replacen(":s3cret@", "@", 1)), &Surroundings::default());
    let credentials = aws_credential_types::Credentials::new("id", "secret", None, None, "test");
    let credentials = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    let address = address.unwrap().signed_by(Some("eu-west-1".to_owned()), Some(credentials)).unwrap();
    let options = PostgresOptions { name: "warehouse".to_owned(), address, schema: "lake".to_owned(), read_role: None };
    let told = message(&world, PostgresTarget::new(options)).await;
    assert!(told.contains("authentication failed") && told.contains("GRANT rds_iam"), "{told}");
}
