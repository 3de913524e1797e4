//! An S3 inside the test process, on a free port of 127.0.0.1.

use std::{net::Ipv4Addr, sync::Arc};

use hyper::{Method, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder as Connection,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};

/// Credentials that every server of the tests takes.
pub(crate) const ACCESS_KEY: &str = "test-access-key";
pub(crate) const SECRET_KEY: &str = "test-secret-key";
pub(crate) const REGION: &str = "us-east-1";

/// An S3 over a temporary folder: one folder a bucket, one file an object.
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    folder: TempDir,
    server: JoinHandle<()>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(s3s::auth::SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        // Its conditional put checks and then writes; one put at a time makes that as atomic as S3's own.
        let one_put = Arc::new(Mutex::new(()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                let (service, one_put) = (service.clone(), Arc::clone(&one_put));
                let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let (service, one_put) = (service.clone(), Arc::clone(&one_put));
                    async move {
                        let _guard = if request.method() == Method::PUT { Some(one_put.lock().await) } else { None };
                        hyper::service::Service::call(&service, request).await
                    }
                });
                tokio::spawn(async move {
                    // A client may hang up at any time.
                    let _ = Connection::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), handler).await;
                });
            }
        });
        Self { endpoint: format!("http://{address}"), folder, server }
    }

    /// The folder that holds a bucket's objects.
    pub(crate) fn bucket(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}
