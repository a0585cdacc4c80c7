//! The page: tables of medians, each beside the target that it was measured for.
use std::fmt::Write as _;

use super::{
    chart::{Bar, Group},
    rows::Rows,
};
use crate::bench::machine;

/// A banned packet and one that is not, in times of a program that only drops.
const BANNED_TARGET: f64 = 1.7;
const CLEAN_TARGET: f64 = 1.5;
/// Packets a second in times of nftables' at netdev ingress, and at input.
const INGRESS_TARGET: f64 = 3.0;
const INPUT_TARGET: f64 = 4.0;
/// How far the cost may move from one ban to a million.
const FLAT_TARGET: f64 = 0.15;
const RESTORE_TARGET_S: f64 = 1.0;

const INGRESS: &str = "nftables set at netdev ingress";
const INPUT: &str = "nftables set at input";
const DOVEBLOCK: &str = "doveblock";

pub(super) fn markdown(rows: &Rows, typed: &str, load: &str) -> String {
    let mut text = head(rows, typed, load);
    text.push_str("![the same as bars](bench-kernel.svg)\n\n");
    program(&mut text, rows);
    scattered(&mut text, rows);
    live(&mut text, rows);
    live_bans(&mut text, rows);
    restore(&mut text, rows);
    text
}

fn head(rows: &Rows, typed: &str, load: &str) -> String {
    format!(
        "# What a packet costs\n\n\
         Made by `{typed}`; not edited by hand. The numbers of every round are in `benches/runs/`.\n\n\
         - date: {}, commit {}\n- machine: {}; load average before the run {load}: where that is \
         not next to 0, others shared the cores\n- versions: {}; {}; {}\n\
         - medians of {} rounds; in each round everything is measured once, in turn\n\n",
        machine::date(),
        machine::commit(),
        machine::description(),
        machine::version("nft"),
        machine::version("ipset"),
        machine::version("iptables"),
        rows.rounds(),
    )
}

/// Writing to a String cannot fail.
macro_rules! say {
    ($text:expr, $($format:tt)*) => {
        let _infallible = writeln!($text, $($format)*);
    };
}

fn program(text: &mut String, rows: &Rows) {
    let bans = rows.bans("program");
    let (Some(&few), Some(&most)) = (bans.first(), bans.last()) else { return };
    text.push_str(
        "## The program alone\n\n`BPF_PROG_TEST_RUN`, ns a packet, every packet from the same \
         source, by the time that the processor took. The floor is a program that only returns \
         `XDP_DROP`. The allow list holds three networks, as a daemon's does.\n\n| packet |",
    );
    bans.iter().for_each(|bans| text.push_str(&format!(" {bans} bans |")));
    text.push_str(" worst, times the floor | target | change from fewest to most bans |\n|---|");
    text.push_str(&"--:|".repeat(bans.len() + 3));
    text.push('\n');
    for key in rows.of("program").filter(|key| key.bans == few && key.sources == 1) {
        let of = |bans: u32| rows.ns("program", &key.what, bans, 1);
        let cells: String = bans.iter().map(|&bans| format!(" {} |", whole(of(bans)))).collect();
        let ratios =
            bans.iter().filter_map(|&bans| Some(of(bans)? / rows.ns("program", "floor", bans, 1)?));
        let worst = ratios.reduce(f64::max);
        let target = match key.what.as_str() {
            "banned" => at_most(worst, BANNED_TARGET),
            "not banned" => at_most(worst, CLEAN_TARGET),
            _ => "–".to_owned(),
        };
        let change = change(of(few), of(most));
        say!(text, "| {} |{cells} {} | {target} | {} |", key.what, times(worst), flat(change));
    }
    text.push('\n');
}

fn scattered(text: &mut String, rows: &Rows) {
    let bans: Vec<u32> = rows
        .of("program")
        .filter(|key| key.sources > 1 && key.what == "floor")
        .map(|key| key.bans)
        .collect();
    if bans.is_empty() {
        return;
    }
    text.push_str(
        "The same, every packet from another source, by chance: of the banned ones, or of as many \
         that are not banned. A small program in front chooses it; its cost, which is the floor \
         here, is taken off. This is what the caches of the processor have to say.\n\n| packet |",
    );
    bans.iter().for_each(|bans| text.push_str(&format!(" {bans} |")));
    text.push_str("\n|---|");
    text.push_str(&"--:|".repeat(bans.len()));
    text.push('\n');
    say!(
        text,
        "| floor, source by chance |{}",
        cells(&bans, |bans| rows.ns("program", "floor", bans, bans))
    );
    for what in ["banned", "not banned"] {
        let above = |bans| {
            Some(rows.ns("program", what, bans, bans)? - rows.ns("program", "floor", bans, bans)?)
        };
        say!(text, "| {what}, more than the floor |{}", cells(&bans, above));
    }
    text.push('\n');
}

fn live(text: &mut String, rows: &Rows) {
    let Some(bans) = contest_bans(rows) else { return };
    text.push_str(
        "## Frames over a veth pair\n\nThe kernel sends real XDP frames (`BPF_F_TEST_XDP_LIVE_FRAMES`), \
         SYNs of one banned source to a guarded port, and the receiver drops them, by its own count. \
         *Alone*: the receiver has a processor for itself (threaded NAPI) and the sender another; \
         the targets are on these packets a second. *Shared*: one processor sends and receives, so \
         that each packet's time holds the sending as well. GRO is on where the receiver is no XDP \
         program. xdp-filter looks at the source only, not at the port. fail2ban's chain has its \
         rules in the order of banning, the source in the middle, and DROP in place of REJECT, which \
         costs an answer more.\n\n",
    );
    say!(text, "With {bans} bans:\n");
    text.push_str(
        "| receiver | alone, ns | alone, packets/s | doveblock, times | target | shared, ns | shared, \
         packets/s | doveblock, times |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let ours = |part: &str| rows.ns(part, DOVEBLOCK, bans, 1);
    for key in rows.of("shared").filter(|key| key.bans == bans && key.sources == 1) {
        let of = |part: &str| rows.ns(part, &key.what, bans, 1);
        let ratio = |part: &str| Some(of(part)? / ours(part)?);
        let target = match key.what.as_str() {
            INGRESS => at_least(ratio("alone"), INGRESS_TARGET),
            INPUT => at_least(ratio("alone"), INPUT_TARGET),
            _ => "–".to_owned(),
        };
        say!(
            text,
            "| {} | {} | {} | {} | {target} | {} | {} | {} |",
            key.what,
            whole(of("alone")),
            rate(of("alone")),
            times(ratio("alone")),
            whole(of("shared")),
            rate(of("shared")),
            times(ratio("shared")),
        );
    }
    text.push('\n');
}

fn live_bans(text: &mut String, rows: &Rows) {
    let Some(contest) = contest_bans(rows) else { return };
    text.push_str(
        "doveblock with other numbers of bans, from one source or from all that are banned:\n\n\
         | bans | sources | alone, ns | alone, packets/s | shared, ns |\n|--:|--:|--:|--:|--:|\n",
    );
    let ours = rows.of("shared").filter(|key| key.what == DOVEBLOCK && key.bans != contest);
    let ours: Vec<_> = ours.collect();
    for key in &ours {
        let of = |part: &str| rows.ns(part, DOVEBLOCK, key.bans, key.sources);
        let (alone, shared) = (of("alone"), of("shared"));
        say!(
            text,
            "| {} | {} | {} | {} | {} |",
            key.bans,
            key.sources,
            whole(alone),
            rate(alone),
            whole(shared)
        );
    }
    let hot: Vec<_> = ours.iter().filter(|key| key.sources == 1).collect();
    if let (Some(few), Some(most)) = (hot.first(), hot.last()) {
        let of = |bans| rows.ns("alone", DOVEBLOCK, bans, 1);
        let change = flat(change(of(few.bans), of(most.bans)));
        say!(text, "\nFrom {} to {} bans, one source, alone: {change}.\n", few.bans, most.bans);
    }
}

fn restore(text: &mut String, rows: &Rows) {
    text.push_str(
        "## Bans put into the kernel at once\n\n| family | bans | s | bans/s | target |\n\
         |---|--:|--:|--:|--:|\n",
    );
    for key in rows.of("restore") {
        let Some(ns) = rows.ns("restore", &key.what, key.bans, 1) else { continue };
        let seconds = ns * f64::from(key.bans) / 1e9;
        let target = at_most(Some(seconds), RESTORE_TARGET_S);
        let family = if key.what == "v4" { "IPv4" } else { "IPv6" };
        say!(text, "| {family} | {} | {seconds:.2} | {:.0} | {target} |", key.bans, 1e9 / ns);
    }
}

/// For the picture.
pub(super) fn bars(rows: &Rows) -> Vec<Group> {
    let bans = rows.bans("program").last().copied().unwrap_or(1);
    let program = rows.of("program").filter(|key| key.bans == bans && key.sources == 1);
    let program = program.filter_map(|key| {
        let ns = rows.ns("program", &key.what, bans, 1)?;
        Some(Bar { label: key.what.clone(), ns, ours: key.what != "floor" })
    });
    let title = format!("The program alone, ns a packet, {bans} bans");
    let mut groups = vec![Group { title, bars: program.collect() }];
    let Some(bans) = contest_bans(rows) else { return groups };
    for (part, how) in [("alone", "receiver alone"), ("shared", "sender included")] {
        let bars = rows.of(part).filter(|key| key.bans == bans && key.sources == 1);
        let bars = bars.filter_map(|key| {
            let ns = rows.ns(part, &key.what, bans, 1)?;
            Some(Bar { label: key.what.clone(), ns, ours: key.what == DOVEBLOCK })
        });
        let bars: Vec<Bar> = bars.collect();
        if !bars.is_empty() {
            let title = format!("Frames over a veth pair, {how}, ns a packet, {bans} bans");
            groups.push(Group { title, bars });
        }
    }
    groups
}

/// The number of bans that all receivers had.
fn contest_bans(rows: &Rows) -> Option<u32> {
    rows.of("shared").find(|key| key.what == INGRESS).map(|key| key.bans)
}

fn cells(bans: &[u32], of: impl Fn(u32) -> Option<f64>) -> String {
    bans.iter().map(|&bans| format!(" {} |", whole(of(bans)))).collect()
}

fn change(from: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(to? / from? - 1.0)
}

fn whole(ns: Option<f64>) -> String {
    ns.map_or("–".to_owned(), |ns| format!("{ns:.1}"))
}

fn rate(ns: Option<f64>) -> String {
    ns.map_or("–".to_owned(), |ns| format!("{:.0}", 1e9 / ns))
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn at_most(found: Option<f64>, target: f64) -> String {
    found.map_or("not measured".to_owned(), |found| format!("≤ {target}: {}", met(found <= target)))
}

fn at_least(found: Option<f64>, target: f64) -> String {
    found.map_or("not measured".to_owned(), |found| format!("≥ {target}: {}", met(found >= target)))
}

fn flat(change: Option<f64>) -> String {
    change.map_or("–".to_owned(), |change| {
        let is_flat = change.abs() <= FLAT_TARGET;
        format!("{:+.0} % (≤ {:.0} %: {})", change * 100.0, FLAT_TARGET * 100.0, met(is_flat))
    })
}

const fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "part,what,bans,sources,round,packets,ns
program,floor,1,1,1,10,200
program,banned,1,1,1,10,300
program,not banned,1,1,1,10,310
program,floor,1000,1,1,10,200
program,banned,1000,1,1,10,350
program,not banned,1000,1,1,10,290
program,floor,1000,1000,1,10,400
program,banned,1000,1000,1,10,700
restore,v4,1000,1,1,1000,2000000
shared,doveblock,200,1,1,10,2000
alone,doveblock,200,1,1,10,1000
shared,nftables set at netdev ingress,200,1,1,10,5000
alone,nftables set at netdev ingress,200,1,1,10,3100
shared,nftables set at input,200,1,1,10,7000
alone,nftables set at input,200,1,1,10,3900
";

    #[test]
    fn ratios_stand_beside_their_targets_and_a_miss_is_called_one() {
        let text = markdown(&Rows::read(CSV).unwrap(), "typed", "0.00");
        for line in [
            // By its worst number of bans, 35 ns over 20.
            "| banned | 30.0 | 35.0 | 1.75 | ≤ 1.7: **missed** | +17 % (≤ 15 %: **missed**) |",
            "| not banned | 31.0 | 29.0 | 1.55 | ≤ 1.5: **missed** | -6 % (≤ 15 %: met) |",
            "| banned, more than the floor | 30.0 |",
            "ingress | 310.0 | 3225806 | 3.10 | ≥ 3: met | 500.0 | 2000000 | 2.50 |",
            "input | 390.0 | 2564103 | 3.90 | ≥ 4: **missed** | 700.0 | 1428571 | 3.50 |",
            "| IPv4 | 1000 | 0.00 | 500000 | ≤ 1: met |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        let alone = CSV.lines().filter(|line| !line.starts_with("alone")).collect::<Vec<_>>();
        let rows = Rows::read(&alone.join("\n")).unwrap();
        let text = markdown(&rows, "typed", "0.00");
        assert!(text.contains("ingress | – | – | – | not measured | 500.0"), "{text}");
        assert_eq!(bars(&rows).len(), 2);
        assert_eq!(bars(&Rows::read(CSV).unwrap()).len(), 3);
    }
}
