use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Share, in_it, shares};
use crate::sandbox::Reach;

fn directories(paths: &[&Path]) -> Vec<Share> {
    paths.iter().map(|path| Share::Directory(path.to_path_buf())).collect()
}

#[test]
fn a_log_may_be_rotated_be_a_link_and_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (logs, data) = (root.join("logs"), root.join("data"));
    fs::create_dir(&logs).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("mail"), "").unwrap();
    symlink(data.join("mail"), logs.join("mail.log")).unwrap();
    assert_eq!(shares(&logs.join("mail.log")), directories(&[&logs, &data]));
    assert_eq!(shares(&data.join("mail")), directories(&[&data]));
    assert_eq!(shares(&logs.join("later.log")), directories(&[&logs]));
    assert_eq!(shares(&logs.join("*/mail.log")), directories(&[&logs]));
    assert_eq!(in_it(&data), directories(&[&data]));
    assert_eq!(in_it(&data.join("journal")), [Share::Way(data)]);
    assert_eq!(shares(&logs.join("not/yet/mail.log")), [Share::Way(logs)]);
}

#[test]
fn a_log_that_is_not_there_takes_no_top_directory() {
    let nothing = |path: &str| [Share::Nothing(PathBuf::from(path))];
    assert_eq!(shares(Path::new("/none-such/mail.log")), nothing("/"));
    assert_eq!(shares(Path::new("/none-such.log")), nothing("/"));
    assert_eq!(shares(Path::new("/*/mail.log")), nothing("/"));
    assert_eq!(shares(Path::new("/usr/none-such/mail.log")), nothing("/usr"));
    assert_eq!(shares(Path::new("/usr/none-such/*/mail.log")), nothing("/usr"));
    // Somebody wants these.
    assert_eq!(shares(Path::new("/usr/*.log")), directories(&[Path::new("/usr")]));
    assert_eq!(shares(Path::new("/usr/*/mail.log")), directories(&[Path::new("/usr")]));
}

#[test]
fn what_is_covered_is_below_what_is_within_reach() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    symlink(&logs, dir.path().join("link")).unwrap();
    let reach = Reach { read: vec![dir.path().join("link")], ..Reach::default() }.resolved();
    assert!(reach.covers(&logs) && reach.covers(&dir.path().join("link")));
    assert!(reach.covers(Path::new("/usr/lib")));
    assert!(!reach.covers(dir.path()) && !reach.covers(Path::new("/")));
    assert!(!reach.covers(&dir.path().join("logs-of-others")));
}
