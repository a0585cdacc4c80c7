//! Going on by another configuration, without a line or a ban lost. One that is wrong changes
//! nothing.

use std::sync::Arc;

use super::{
    answer::{Refusal, ask},
    api::Reloaded,
    context::{Context, Fresh},
};
use crate::daemon::{Command, manager::Reloading};

pub(super) async fn reload(context: &Arc<Context>) -> Result<Reloaded, Refusal> {
    // Whoever asks last has the configuration that was written last.
    let _turn = context.turn.lock().await;
    let mut told = Reloading::begin();
    let result = reload_now(context).await;
    if let Err(refusal) = &result {
        told.fails(in_words(refusal));
    }
    result
}

async fn reload_now(context: &Arc<Context>) -> Result<Reloaded, Refusal> {
    let of = Arc::clone(context);
    // Looking names up takes as long as it takes.
    let fresh = tokio::task::spawn_blocking(move || (of.reload)()).await;
    let fresh = fresh.map_err(|error| Refusal::Failed(error.to_string()))?;
    let Fresh { change, shown, at_restart } = fresh.map_err(Refusal::Invalid)?;
    ask(context, |reply| Command::Reload { change: Box::new(change), reply }).await?;
    context.show(shown);
    tracing::info!("the configuration was read again, and is in force");
    if !at_restart.is_empty() {
        tracing::warn!("takes effect at the next start only: {}", at_restart.join(", "));
    }
    Ok(Reloaded { at_restart })
}

/// For SIGHUP, which nobody waits for: what is wrong is said in the log.
pub(super) async fn by_signal(context: Arc<Context>) {
    if let Err(refusal) = reload(&context).await {
        tracing::error!("the configuration stays what it was: {}", in_words(&refusal));
    }
}

fn in_words(refusal: &Refusal) -> &str {
    match refusal {
        Refusal::Invalid(error) | Refusal::Failed(error) => error,
        Refusal::Busy | Refusal::NotFound => "the daemon is busy",
    }
}
