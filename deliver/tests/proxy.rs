//! A proxy before the server that loses commits, or their answers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The driver's message that commits.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What happens to commits: every other one is lost, or its answer, until so many were.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    left: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn before(server: u16, losses: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicUsize::new(losses));
        let shared = left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, shared.clone()));
            }
        });
        Self { port, left }
    }

    /// Losses that did not happen yet.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }
}

async fn connection(mut client: TcpStream, server: u16, left: Arc<AtomicUsize>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let message = &up[..count];
                let commits = message.windows(COMMIT.len()).any(|part| part == COMMIT);
                let one_less = |left: usize| left.checked_sub(1);
                if commits && let Ok(left) = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
                    if left % 2 == 0 {
                        // It happens, and nobody hears of it.
                        server.write_all(message).await.unwrap();
                        let _ = server.read(&mut down).await;
                    }
                    return;
                }
                if server.write_all(message).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
