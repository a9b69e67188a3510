//! The optimised program writes the bytes that the unoptimised one writes, on another number of threads. `.ci/run` builds it and says where it is.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A real trace under several variants and seeds, so that draws, statistics and pictures are all in what is compared.
const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.toml");

#[test]
fn optimised_or_not_the_bytes_are_the_same() {
    let Some(release) = std::env::var_os("GWSIM_RELEASE") else {
        eprintln!("skipped: GWSIM_RELEASE does not name an optimised program of this code");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    for (program, threads, to) in [(Path::new(&release), "1", "release"), (Path::new(env!("CARGO_BIN_EXE_gwsim")), "2", "debug")] {
        let run = ["run", SCENARIO, "--seeds", "2", "--threads", threads, "--out", to];
        let output = Command::new(program).args(run).current_dir(home.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(home.path().join(to).join("quickstart").join("stdout"), output.stdout).unwrap();
    }
    let files = |of: &str| {
        let mut names: Vec<_> = fs::read_dir(home.path().join(of).join("quickstart")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(files("release"), files("debug"));
    for name in files("release") {
        let [optimised, plain] = ["release", "debug"].map(|of| fs::read(home.path().join(of).join("quickstart").join(&name)).unwrap());
        assert!(optimised == plain, "{} differs", name.to_string_lossy());
    }
}
