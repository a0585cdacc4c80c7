//! The page of a report in a real browser: over file://, without a network, at the widths of a
//! phone and of a screen, light and dark. What it shows is held against the JSON of the report.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{needs, netns::World, wait::LIMIT};
use blocker_user::{
    page,
    report::{self, Report},
    time,
};
use headless_chrome::{
    Browser, LaunchOptions, Tab,
    protocol::cdp::{Emulation, Network, types::Event},
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::trial;

#[path = "../../../blocker-user/src/page/tests/fixture.rs"]
mod fixture;

/// What is asked of the page.
const LOOK: &str = include_str!("browser/look.js");
/// For what is asked of a page; ten thousand rows take a while to be laid out.
const PATIENCE: Duration = Duration::from_secs(3 * LIMIT.as_secs());
/// Of text; what WCAG asks for at level AA.
const LEAST_CONTRAST: f64 = 4.5;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_page_shows_its_report_at_every_width", &[needs::missing_chromium], shown),
        trial("a_page_of_nothing_and_one_of_10000_bans", &[needs::missing_chromium], extremes),
    ]
}

/// A browser, and what it complained of or asked for.
struct Window {
    _browser: Browser,
    tab: Arc<Tab>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Window {
    fn open(profile: &Path) -> Result<Self> {
        let options = LaunchOptions {
            // As root it has none.
            sandbox: false,
            path: Some("/usr/bin/chromium".into()),
            user_data_dir: Some(profile.to_owned()),
            args: vec![OsStr::new("--host-resolver-rules=MAP * ~NOTFOUND")],
            idle_browser_timeout: PATIENCE,
            ..LaunchOptions::default()
        };
        let browser = Browser::new(options)?;
        let tab = browser.new_tab()?;
        tab.set_default_timeout(PATIENCE);
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let hear = Arc::clone(&heard);
        let listen = move |event: &Event| {
            let said = match event {
                Event::LogEntryAdded(entry) => format!("log: {:?}", entry.params.entry),
                Event::RuntimeExceptionThrown(thrown) => format!("thrown: {thrown:?}"),
                Event::RuntimeConsoleAPICalled(called) => format!("console: {called:?}"),
                Event::NetworkRequestWillBeSent(sent) => sent.params.request.url.clone(),
                _ => return,
            };
            hear.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        };
        tab.add_event_listener(Arc::new(listen))?;
        tab.enable_log()?.enable_runtime()?;
        tab.call_method(Network::Enable {
            max_total_buffer_size: None,
            max_resource_buffer_size: None,
            max_post_data_size: None,
            report_direct_socket_traffic: None,
            enable_durable_messages: None,
        })?;
        Ok(Self { _browser: browser, tab, heard })
    }

    fn look(&self, path: &Path, width: u32, scheme: &str) -> Result<Value> {
        self.tab.call_method(Emulation::SetDeviceMetricsOverride {
            width,
            height: 800,
            device_scale_factor: 1.0,
            mobile: width < 600,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        })?;
        let name = "prefers-color-scheme".to_owned();
        let scheme = Emulation::MediaFeature { name, value: scheme.to_owned() };
        let features = Some(vec![scheme]);
        self.tab.call_method(Emulation::SetEmulatedMedia { media: None, features })?;
        let url = format!("file://{}", path.display());
        self.tab.navigate_to(&url)?.wait_until_navigated()?;
        let answer = self.tab.evaluate(LOOK, false)?;
        let text = answer.value.as_ref().and_then(Value::as_str);
        let text = text.with_context(|| format!("the page cannot be looked at: {answer:?}"))?;
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).split_off(0);
        let unexpected: Vec<&String> = heard.iter().filter(|said| **said != url).collect();
        ensure!(unexpected.is_empty(), "at {width} px: {unexpected:#?}");
        ensure!(heard.contains(&url), "nothing was heard of the page itself");
        Ok(serde_json::from_str(text)?)
    }
}

fn write(world: &World, name: &str, report: &Report) -> Result<std::path::PathBuf> {
    let path = world.claim.dir().join(name);
    fs::write(&path, page::html(report))?;
    Ok(path)
}

fn shown(world: &World) -> Result<()> {
    let report = fixture::report();
    let path = write(world, "report.html", &report)?;
    let window = Window::open(&world.claim.dir().join("profile"))?;
    let wanted = serde_json::to_value(&report)?;
    let mut schemes = Vec::new();
    for width in [360, 1280] {
        for scheme in ["light", "dark"] {
            let page = window.look(&path, width, scheme)?;
            let place = || format!("at {width} px, {scheme}");
            fits(&page).with_context(place)?;
            readable(&page).with_context(place)?;
            says(&page, &wanted).with_context(place)?;
            heat_map(&page, &wanted).with_context(place)?;
            schemes.push((scheme, page["background"].clone()));
        }
    }
    let of = |wanted: &str| {
        schemes.iter().find(|(scheme, _)| *scheme == wanted).map(|(_, background)| background)
    };
    ensure!(of("light") != of("dark"), "dark is light: {schemes:?}");
    Ok(())
}

fn extremes(world: &World) -> Result<()> {
    let window = Window::open(&world.claim.dir().join("profile"))?;
    let nothing = write(world, "nothing.html", &fixture::nothing())?;
    let many = write(world, "many.html", &fixture::many(10_000))?;
    for width in [360, 1280] {
        let page = window.look(&nothing, width, "light")?;
        fits(&page)?;
        ensure!(page["bans"] == 0 && page["cells"] == Value::Array(Vec::new()), "{page:#}");
        let page = window.look(&many, width, "dark")?;
        fits(&page)?;
        ensure!(page["bans"] == 10_000, "{} bans", page["bans"]);
    }
    Ok(())
}

/// Nobody has to scroll sideways, with every list unfolded.
fn fits(page: &Value) -> Result<()> {
    let width = |name: &str| page[name].as_i64().context(name.to_owned());
    let (content, window) = (width("contentWidth")?, width("windowWidth")?);
    ensure!(content <= window, "{content} px in {window} px: {:#}", page["tooWide"]);
    Ok(())
}

fn readable(page: &Value) -> Result<()> {
    let texts = page["contrasts"].as_array().context("no texts")?;
    ensure!(texts.len() > 100, "only {} texts were looked at", texts.len());
    let is_faint =
        |text: &&Value| text["contrast"].as_f64().is_none_or(|contrast| contrast < LEAST_CONTRAST);
    let faint: Vec<&Value> = texts.iter().filter(is_faint).collect();
    ensure!(faint.is_empty(), "{faint:#?}");
    Ok(())
}

fn says(page: &Value, wanted: &Value) -> Result<()> {
    let bans = wanted["bans"].as_array().context("no bans")?;
    ensure!(page["bans"] == bans.len(), "{} bans", page["bans"]);
    for (shown, ban) in page["banned"].as_array().context("no list")?.iter().zip(bans) {
        ensure!(shown == &ban["subject"], "{shown} instead of {}", ban["subject"]);
    }
    let hits = wanted["hits"]["clients"].as_array().context("no hits")?;
    let users: Vec<&Value> =
        hits.iter().filter_map(|hit| hit["users"].as_array()).flatten().collect();
    let shown = page["users"].as_array().context("no users")?;
    ensure!(shown.len() == users.len() && users.len() == 5, "{shown:#?}");
    for (shown, user) in shown.iter().zip(users) {
        let (shown, user) = (shown.as_str().unwrap_or_default(), user.as_str().unwrap_or_default());
        let is_plain = user.chars().all(|c| !c.is_control() && c != '\u{202e}');
        ensure!(!is_plain || shown == user, "{shown:?} instead of {user:?}");
        ensure!(!shown.contains(['\u{202e}', '\0']), "{shown:?}");
    }
    let snippet = &wanted["recommendation"]["snippet"];
    ensure!(&page["snippet"] == snippet, "{} instead of {snippet}", page["snippet"]);
    let lines: Vec<&Value> = wanted["recognised"]
        .as_array()
        .context("nobody recognised")?
        .iter()
        .filter(|who| who["ignored"] == false)
        .map(|who| &who["ignoreip"])
        .collect();
    let shown: Vec<&Value> = page["ignoreip"].as_array().context("no lines")?.iter().collect();
    ensure!(shown == lines, "{shown:?} instead of {lines:?}");
    Ok(())
}

/// Of a text.
fn number(text: &Value) -> Option<u64> {
    text.as_str()?.parse().ok()
}

/// Each cell, in the picture and in the table, has the numbers of the report.
fn heat_map(page: &Value, wanted: &Value) -> Result<()> {
    let all = wanted["read"]["failures"].as_u64().context("no failures")?;
    let cells = wanted["sweep"]["cells"].as_array().context("no cells")?;
    let (drawn, rows) = (page["cells"].as_array(), page["rows"].as_array());
    let (drawn, rows) = (drawn.context("no picture")?, rows.context("no table")?);
    ensure!(drawn.len() == cells.len() && rows.len() == cells.len(), "{drawn:#?}");
    let mut marked = Vec::new();
    for ((drawn, row), cell) in drawn.iter().zip(rows).zip(cells) {
        let (prevented, users) =
            (&cell["effect"]["prevented_failures"], &cell["effect"]["users_hit"]);
        let share = prevented.as_u64().context("no number")? * 100 / all;
        let text = |at: usize| drawn[at].as_str().unwrap_or_default().to_owned();
        let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
        ensure!(digits(&text(0)) == share.to_string(), "{drawn} instead of {share} %: {cell:#}");
        let shown = digits(&text(1)).parse().unwrap_or(0_u64);
        ensure!(*users == shown, "{drawn} instead of {users} users");
        ensure!(number(&row["maxretry"]) == cell["maxretry"].as_u64(), "{row} for {cell:#}");
        let exact = row["prevented"].as_str().unwrap_or_default();
        let exact = digits(exact.split('(').next().unwrap_or_default());
        ensure!(exact.parse().ok() == prevented.as_u64(), "{row} instead of {prevented}");
        ensure!(number(&row["users"]) == users.as_u64(), "{row} instead of {users}");
        if text(0).contains('★') || text(1).contains('★') {
            marked.push(cell);
        }
    }
    let best = &wanted["recommendation"];
    let is_best =
        |cell: &&Value| ["maxretry", "findtime"].iter().all(|name| cell[name] == best[name]);
    ensure!(marked.len() == 1 && marked.iter().all(is_best), "marked: {marked:#?}");
    Ok(())
}
