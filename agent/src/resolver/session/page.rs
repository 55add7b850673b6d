//! The pod's page: where its name leads, and whoever comes there.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep_until;

use super::Session;
use super::asked::Asked;
use crate::page::{self, report::Report};
use crate::resolver::pod::Pod;
use crate::resolver::special;

impl<P: Pod> Session<P> {
    /// Answers a question for the page's name.
    pub(super) fn answer_page(&self, asked: &Asked<'_, P::Client>, out: &mut Vec<u8>) {
        special::answer_page(asked.request.qtype, self.versions, asked.reply(out));
    }

    /// Serves a connection of the pod's that speaks HTTP, until it ends. One too many ends at once.
    pub(in super::super) async fn serve_page(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) {
        let Some(_seat) = self.desk.seat() else { return };
        page::serve(stream, || self.report()).await;
    }

    /// What the pod was refused until now.
    async fn report(self: &Arc<Self>) -> Option<Arc<Report>> {
        self.settle_held().await;
        let session = Arc::clone(self);
        let read = move || {
            let _open = session.enter()?;
            session.pod.report()
        };
        self.desk.report(read).await
    }

    /// Waits until every refusal that may yet turn out to be search-list noise is recorded or is none: a page that
    /// is asked for right after a refusal tells of it.
    async fn settle_held(&self) {
        let Some(due) = self.noise.last_due() else { return };
        sleep_until(due.into()).await;
        let Some(_open) = self.enter() else { return };
        for held in self.noise.take(Instant::now()) {
            self.record_held(&held);
        }
    }
}
