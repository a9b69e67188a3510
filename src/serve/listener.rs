//! Accepts connections and speaks HTTP/1.1 on them until the shutdown; after it, answers probes and scrapes only. Knows no routes.

mod patient;

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::patient::Patient;
use super::app::App;
use super::routes::Routes;
use super::shutdown::Present;

/// How long a client may take for the head of a request, and keep a connection that it does not use.
const HEAD_TIME_MAX: Duration = Duration::from_secs(75);
/// How long a client may leave what it is sent unread.
const FULL_TIME_MAX: Duration = Duration::from_secs(60);
/// The wait after a failure to accept: as a rule there are no more file descriptors, and some come free.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until the shutdown begins. Those who are connected then are served on; [`super::shutdown::Shutdown::drained`] waits for them.
/// Who comes later is answered too, but nobody waits for it, and requests of the data plane are refused: so a load balancer reads that the gateway
/// is not ready, and needs not to guess it.
pub async fn serve(app: Arc<App>, listener: TcpListener) {
    let routes = Routes::new(app.clone());
    let mut present = app.shutdown.enter();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = present.until_begun() => break,
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, routes.clone(), app.shutdown.enter()))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(say_no(stream, routes.late()))),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    });
}

/// One request of one who comes too late.
async fn say_no(stream: TcpStream, routes: Routes) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).keep_alive(false);
    // Who does not read it has left.
    let _ = builder.serve_connection(TokioIo::new(stream), routes).await;
}

async fn converse(stream: TcpStream, routes: Routes, mut present: Present) {
    // Chunks of a stream leave as they come, not when the packet is full.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(Patient::new(stream, FULL_TIME_MAX)), routes));
    let mut told = false;
    loop {
        tokio::select! {
            // A client that broke off is an event of its request, not an error of the gateway.
            _ = connection.as_mut() => return,
            () = present.until_begun(), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
