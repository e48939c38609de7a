//! Files and directories that others could have put there.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use retake_tests::{Retake, path};

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let run = ["run", &path("family"), "--flow", "crowd", "-p", "ms=0"];
    retake.expect(0, &run);
    let data = retake.dir.path().join("data");
    for (part, open, closed, words) in [
        ("", 0o777, 0o700, "chmod go-"),
        ("", 0o770, 0o700, "can be written to"),
        ("compiled", 0o722, 0o700, "compiled"),
        ("compiled/key", 0o644, 0o600, "can be read"),
        ("blobs", 0o777, 0o700, "blobs"),
        ("retake.db", 0o666, 0o600, "retake.db"),
        ("retake.lock", 0o662, 0o600, "retake.lock"),
    ] {
        let part = data.join(part);
        mode(&part, open);
        retake.expect(4, &run).is_an_error_with_a_hint(words);
        retake.expect(4, &["server", "--listen", "127.0.0.1:0"]).is_an_error_with_a_hint(words);
        mode(&part, closed);
    }
    // What is above it, where others could put another in its place.
    mode(retake.dir.path(), 0o777);
    retake.expect(4, &run).is_an_error_with_a_hint("can be written to");
    mode(retake.dir.path(), 0o1777);
    retake.expect(0, &run);
}

#[test]
fn a_link_in_the_directory_leads_nowhere() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let run = ["run", &path("family"), "--flow", "crowd", "-p", "ms=0"];
    retake.expect(0, &run);
    let (data, other) = (retake.dir.path().join("data"), retake.dir.path().join("other"));
    std::fs::write(&other, "what somebody else keeps").unwrap();
    for part in ["retake.lock", "compiled/key", "token", "secret.key"] {
        let part = data.join(part);
        let had = std::fs::read(&part).ok();
        let _ = std::fs::remove_file(&part);
        symlink(&other, &part).unwrap();
        retake.expect(4, &run).is_an_error_with_a_hint("is a link");
        std::fs::remove_file(&part).unwrap();
        if let Some(had) = had {
            std::fs::write(&part, had).unwrap();
        }
        mode(&data, 0o700);
        if part.exists() {
            mode(&part, 0o600);
        }
    }
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "what somebody else keeps");
    // A whole directory of somebody else's compiled code.
    let (compiled, theirs) = (data.join("compiled"), retake.dir.path().join("theirs"));
    std::fs::rename(&compiled, &theirs).unwrap();
    symlink(&theirs, &compiled).unwrap();
    retake.expect(4, &run).is_an_error_with_a_hint("is a link");
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let made = retake_tests::certificates::certificate(retake.dir.path(), "own", &["localhost"]);
    mode(&made.key, 0o644);
    let (certificate, key) = (made.certificate.to_str().unwrap(), made.key.to_str().unwrap());
    let tls = ["server", "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
    retake.expect(4, &tls).is_an_error_with_a_hint("can be read by others");
}
