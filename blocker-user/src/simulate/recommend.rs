//! What to set, of everything that was tried.

use crate::report::{Cell, Effect};

/// As good as the best: who prevents that much of it, in percent. Then the more lenient one is
/// the better one.
const AS_GOOD_PERCENT: u64 = 99;

/// One typo is not to ban anybody, also where nobody happened to make one.
const STRICTEST: u32 = 3;

/// The cell that hits the fewest users, then the fewest that are better not banned (`spared`
/// says how many it bans of those), and of these the one that prevents most. Where nothing
/// prevents anything there is no reason to change anything. `asked` is the maxretry asked for.
pub(super) fn best(cells: &[Cell], asked: u32, spared: impl Fn(&Cell) -> u64) -> Option<&Cell> {
    let harm = |cell: &Cell| (users(cell), spared(cell));
    let kind = || cells.iter().filter(|cell| cell.maxretry >= asked.min(STRICTEST));
    let fewest = kind().map(harm).min()?;
    let sparing = || kind().filter(|cell| harm(cell) == fewest);
    let most = sparing().map(prevented).max().filter(|most| *most > 0)?;
    let is_as_good = |cell: &&Cell| prevented(cell) * 100 >= most * AS_GOOD_PERCENT;
    sparing()
        .filter(is_as_good)
        .max_by_key(|cell| (cell.maxretry, std::cmp::Reverse(cell.findtime)))
}

fn users(cell: &Cell) -> (u64, u64) {
    let Effect { clients_with_users_hit, logins_locked_out, .. } = cell.effect;
    (clients_with_users_hit, logins_locked_out)
}

fn prevented(cell: &Cell) -> u64 {
    cell.effect.prevented_failures
}

/// Why, in one sentence.
pub(super) fn reason(best: &Cell, cells: &[Cell], failures: u64) -> String {
    let Effect { prevented_failures, clients_with_users_hit, attackers, attackers_caught, .. } =
        best.effect;
    let share = percent(prevented_failures, failures);
    let gain = format!(
        "it prevents {share} of the failures and bans {attackers_caught} of {attackers} attackers"
    );
    let stricter = cells.iter().filter(|cell| prevented(cell) > prevented_failures);
    let next = stricter.max_by_key(|cell| prevented(cell));
    match (clients_with_users_hit, next) {
        (0, Some(next)) if users(next).0 > 0 => format!(
            "{gain} without banning anybody who logs in; the strictest one that was tried prevents \
             {} but bans {} from which users log in",
            percent(prevented(next), failures),
            addresses(users(next).0)
        ),
        (0, _) => format!("{gain} without banning anybody who logs in"),
        (hit, _) => format!(
            "{gain}; {} from which users log in {} banned by every setting that was tried",
            addresses(hit),
            if hit == 1 { "is" } else { "are" }
        ),
    }
}

fn addresses(count: u64) -> String {
    if count == 1 { "1 address".to_owned() } else { format!("{count} addresses") }
}

/// A share for people, in whole percent unless that hides something.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let tenths = part.saturating_mul(1000) / whole;
    match tenths {
        0 if part > 0 => "less than 0.1 %".to_owned(),
        1..100 | 991..1000 => format!("{}.{} %", tenths / 10, tenths % 10),
        _ => format!("{} %", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::{best, percent, reason};
    use crate::report::{Cell, Effect};

    fn cell(maxretry: u32, findtime: u64, prevented: u64, hit: u64) -> Cell {
        let effect = Effect {
            prevented_failures: prevented,
            clients_with_users_hit: hit,
            attackers: 10,
            attackers_caught: 9,
            ..Effect::default()
        };
        Cell { maxretry, findtime, bantime: Some(600), effect }
    }

    #[test]
    fn nobody_is_hit_as_long_as_that_is_possible_and_the_lenient_one_wins() {
        let cells = [cell(1, 600, 1000, 3), cell(3, 600, 800, 0), cell(5, 600, 799, 0)];
        let best = best(&cells, 5, |_| 0).unwrap();
        assert_eq!(best.maxretry, 5);
        let reason = reason(best, &cells, 1000);
        assert_eq!(
            reason,
            "it prevents 79 % of the failures and bans 9 of 10 attackers without banning anybody \
             who logs in; the strictest one that was tried prevents 100 % but bans 3 addresses \
             from which users log in"
        );
    }

    #[test]
    fn one_typo_bans_nobody_unless_that_is_what_was_asked_for() {
        let cells = [cell(1, 600, 1000, 0), cell(3, 600, 900, 0), cell(5, 600, 100, 0)];
        assert_eq!(best(&cells, 5, |_| 0).unwrap().maxretry, 3);
        assert_eq!(best(&cells, 1, |_| 0).unwrap().maxretry, 1);
    }

    #[test]
    fn monitoring_is_spared_where_that_is_possible() {
        let cells = [cell(3, 600, 900, 0), cell(5, 600, 100, 0)];
        let spared = |cell: &Cell| u64::from(cell.maxretry < 5);
        assert_eq!(best(&cells, 5, spared).unwrap().maxretry, 5);
    }

    #[test]
    fn what_hits_users_anyway_is_said() {
        let cells = [cell(1, 600, 1000, 3), cell(5, 600, 700, 1)];
        let text = reason(best(&cells, 5, |_| 0).unwrap(), &cells, 1000);
        assert!(
            text.ends_with(
                "1 address from which users log in is banned by every setting that was tried"
            ),
            "{text}"
        );
        assert!(best(&[], 5, |_| 0).is_none());
        assert!(best(&[cell(5, 600, 0, 0)], 5, |_| 0).is_none(), "no evidence, no advice");
    }

    #[test]
    fn shares_hide_nothing() {
        let cases = [(0, 10), (1, 100_000), (5, 1000), (50, 100), (999, 1000), (7, 7), (0, 0)];
        let texts = cases.map(|(part, whole)| percent(part, whole));
        let expected = ["0 %", "less than 0.1 %", "0.5 %", "50 %", "99.9 %", "100 %", "0 %"];
        assert_eq!(texts, expected);
    }
}
