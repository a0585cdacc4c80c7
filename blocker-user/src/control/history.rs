//! What was done, out of the database, for whoever may not read it himself.

use std::{sync::Arc, time::Duration};

use super::{
    answer::{Refusal, read},
    api::{History, PolicyShown},
    context::Context,
    query,
};
use crate::{config::parse_span, daemon::wall_clock};

/// Where it is not said.
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(super) async fn history(
    context: &Arc<Context>,
    query: Option<&str>,
) -> Result<History, Refusal> {
    let asked = query.and_then(|query| query::value(query, "since"));
    let since = asked.map_or(Ok(WEEK), |text| parse_span(&text))?;
    read(context, move |context| {
        let Some(reader) = &context.past else {
            return Err(Refusal::Failed(
                "nothing is known of what was done: this daemon keeps no state, as it runs with --dry-run \
                 or could not open its database; its log says why"
                    .to_owned(),
            ));
        };
        let now = wall_clock();
        let chronicle = reader
            .chronicle(now.before(since), now)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let shown = context.shown();
        Ok(History { policy: PolicyShown::new(&shown.mode, &shown.policy), chronicle })
    })
    .await
}
