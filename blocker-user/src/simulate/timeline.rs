//! Counts by the time of day and over all days, whatever times a log claims.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    report::{Hour, Series},
    time::LogTime,
};

/// Divides the quarters of an hour by which zones differ.
const BUCKET_SECS: i64 = 300;
/// Two years of them. Of a log that claims more, the rest is not drawn.
const MOST_BUCKETS: usize = 2 * 366 * 24 * 12;
/// Steps of which as many as fit make a chart; in seconds.
const STEPS: [i64; 8] =
    [BUCKET_SECS, 900, 3600, 3 * 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600, 28 * 24 * 3600];
const MOST_STEPS: i64 = 400;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Failure,
    Prevented,
    Ban,
    Login,
}

type Counts = [u32; 4];

#[derive(Clone, Debug, Default)]
pub(super) struct Timeline(HashMap<i64, Counts>);

impl Timeline {
    pub(super) fn count(&mut self, what: What, at: LogTime) {
        let bucket = at.as_secs().div_euclid(BUCKET_SECS);
        if self.0.len() >= MOST_BUCKETS && !self.0.contains_key(&bucket) {
            return;
        }
        let counts = self.0.entry(bucket).or_default();
        if let Some(count) = counts.get_mut(what as usize) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, counts) in &other.0 {
            let sums = self.0.entry(*bucket).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
        }
    }

    /// In steps of a length that makes a chart.
    pub(super) fn series(&self, zone: &TimeZone) -> Series {
        let zone = zone.iana_name().unwrap_or("UTC").to_owned();
        let Some((first, last)) = self.0.keys().min().copied().zip(self.0.keys().max().copied())
        else {
            return Series { zone, ..Series::default() };
        };
        let (from, to) = (first * BUCKET_SECS, (last + 1) * BUCKET_SECS);
        let fits = |step: &&i64| (to - from) / **step < MOST_STEPS;
        let step = STEPS.iter().find(fits).copied().unwrap_or((to - from) / MOST_STEPS);
        let from = from.div_euclid(step) * step;
        let len = usize::try_from((to - from + step - 1) / step).unwrap_or(0);
        let mut lists: [Vec<u64>; 4] = std::array::from_fn(|_| vec![0; len]);
        for (bucket, counts) in &self.0 {
            let place = usize::try_from((bucket * BUCKET_SECS - from) / step).unwrap_or(usize::MAX);
            for (list, count) in lists.iter_mut().zip(counts) {
                if let Some(sum) = list.get_mut(place) {
                    *sum += u64::from(*count);
                }
            }
        }
        let [failures, prevented, bans, logins] = lists;
        let from = Some(LogTime::from_secs(from).into());
        let step_secs = u64::try_from(step).unwrap_or_default();
        Series { from, step_secs, zone, failures, prevented, bans, logins, drops: Vec::new() }
    }

    /// By the hour of the day in `zone`.
    pub(super) fn hours(&self, zone: &TimeZone) -> Vec<Hour> {
        let mut hours = vec![Hour::default(); 24];
        for (bucket, [failures, _, bans, logins]) in &self.0 {
            let at = Timestamp::from_second(bucket * BUCKET_SECS).unwrap_or_default();
            let hour = zone.to_datetime(at).hour();
            if let Some(sum) = usize::try_from(hour).ok().and_then(|hour| hours.get_mut(hour)) {
                sum.failures += u64::from(*failures);
                sum.bans += u64::from(*bans);
                sum.logins += u64::from(*logins);
            }
        }
        hours
    }
}

#[cfg(test)]
mod tests {
    use super::{LogTime, Timeline, What};
    use jiff::tz::TimeZone;

    #[test]
    fn every_event_is_in_one_step_and_one_hour() {
        let mut timeline = Timeline::default();
        // 2026-11-01T00:00:00Z
        let start = 1_793_491_200;
        for hour in 0..30 * 24 {
            timeline.count(What::Failure, LogTime::from_secs(start + hour * 3600 + 61));
        }
        timeline.count(What::Ban, LogTime::from_secs(start + 5 * 3600));
        let series = timeline.series(&TimeZone::UTC);
        assert_eq!(series.from.unwrap().0, LogTime::from_secs(start));
        assert_eq!(series.step_secs, 3 * 3600);
        assert_eq!(series.failures.len(), 240);
        assert!(series.failures.iter().all(|count| *count == 3));
        assert_eq!(series.bans.iter().sum::<u64>(), 1);
        assert_eq!(series.bans[1], 1);
        let hours = timeline.hours(&TimeZone::get("Asia/Kathmandu").unwrap());
        assert!(hours.iter().all(|hour| hour.failures == 30));
        // 05:00 there is 10:45.
        assert_eq!(hours[10].bans, 1);
    }

    #[test]
    fn a_log_that_claims_all_times_is_bounded() {
        let mut timeline = Timeline::default();
        for step in 0..super::MOST_BUCKETS as i64 + 100 {
            timeline.count(What::Login, LogTime::from_secs(step * 1_000_000));
        }
        assert!(timeline.series(&TimeZone::UTC).logins.len() <= 402);
    }
}
