//! The page of a report in a real browser: it fits a telephone, its texts neither collide nor leave their drawing, it asks nobody for anything and the
//! console stays empty. Skipped with a notice where there is no Chromium; `.ci/run` installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::cli;
use super::pages::checkout;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Puts the page into frames as wide as screens are, looks at it with every table open, and leaves what it saw as the text of the document.
const LOOK: &str = r"
const seen = [];
function look(frame) {
  const inner = frame.contentDocument, root = inner.documentElement;
  inner.querySelectorAll('details').forEach(details => { details.open = true; });
  const shown = element => element.getClientRects().length > 0;
  const faults = [];
  const figures = [...inner.querySelectorAll('figure')];
  for (const figure of figures) {
    const drawings = [...figure.children].filter(child => child.tagName === 'svg' && shown(child));
    if (drawings.length !== 1) faults.push(figure.id + ': ' + drawings.length + ' drawings are shown');
    if (!figure.querySelector('table tbody tr') || !shown(figure.querySelector('table'))) faults.push(figure.id + ': no table is shown');
    for (const drawing of drawings) {
      const box = drawing.getBoundingClientRect();
      const texts = [...drawing.querySelectorAll('text')].map(text => ({ says: text.textContent, box: text.getBoundingClientRect() }));
      for (const [number, text] of texts.entries()) {
        if (text.box.left < box.left - 1 || text.box.right > box.right + 1 || text.box.top < box.top - 1 || text.box.bottom > box.bottom + 1)
          faults.push(figure.id + ': `' + text.says + '` leaves the drawing');
        for (const other of texts.slice(number + 1)) {
          const across = Math.min(text.box.right, other.box.right) - Math.max(text.box.left, other.box.left);
          const down = Math.min(text.box.bottom, other.box.bottom) - Math.max(text.box.top, other.box.top);
          if (across > 1 && down > 3) faults.push(figure.id + ': `' + text.says + '` upon `' + other.says + '`');
        }
      }
      const size = texts.length ? Math.min(...texts.map(text => text.box.height)) : 12;
      if (size < 9) faults.push(figure.id + ': text of ' + size + ' pixels');
    }
  }
  seen.push({
    width: frame.contentWindow.innerWidth, document: root.scrollWidth, figures: figures.length, faults,
    asked: frame.contentWindow.performance.getEntriesByType('resource').map(entry => entry.name),
    dark: frame.contentWindow.matchMedia('(prefers-color-scheme: dark)').matches,
    paper: frame.contentWindow.getComputedStyle(inner.body).backgroundColor,
  });
}
addEventListener('load', () => {
  document.querySelectorAll('iframe').forEach(look);
  document.body.textContent = JSON.stringify(seen);
});
";

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).flat_map(|directory| BROWSERS.map(|name| directory.join(name))).find(|file| file.is_file())
}

/// The page of a scenario of this repository, or of one that is written out.
fn page(home: &Path, scenario: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gwsim")).args(["run", scenario, "--out", "reports"]).current_dir(home).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let reports: Vec<_> = fs::read_dir(home.join("reports")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(reports.len(), 1);
    fs::read_to_string(reports[0].join("index.html")).unwrap()
}

/// What the browser saw of the page on screens of 390 and 1,280 pixels, and what it wrote to its console.
fn look(browser: &Path, home: &Path, page: &str, theme: u8) -> (Vec<Value>, Vec<String>) {
    let quoted = page.replace('&', "&amp;").replace('"', "&quot;");
    let frames =
        [390, 1280].map(|width| format!("<iframe width=\"{width}\" height=\"900\" style=\"border:0\" srcdoc=\"{quoted}\"></iframe>")).concat();
    let file = home.join("look.html");
    fs::write(&file, format!("<!DOCTYPE html><meta charset=\"utf-8\"><body>{frames}<script>{LOOK}</script>")).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--no-first-run"];
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=10000"])
        .args(quiet)
        .arg(format!("--blink-settings=preferredColorScheme={theme}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = dom
        .split_once("<body>")
        .and_then(|(_, rest)| rest.split_once("</body>"))
        .map(|(body, _)| body.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"));
    let seen = serde_json::from_str(&json.unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {}", &dom[..dom.len().min(2_000)]));
    let console = String::from_utf8_lossy(&output.stderr).lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (seen, console)
}

#[track_caller]
fn check(scenario: &str, figures_min: u64, home: &Path) {
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium to look at the page with ({})", BROWSERS.join(", "));
        return;
    };
    let page = page(home, scenario);
    let mut papers = Vec::new();
    // Blink numbers the themes: 0 is dark, 1 is light.
    for theme in [0, 1] {
        let (seen, console) = look(&browser, home, &page, theme);
        assert_eq!(console, [""; 0], "the console is clean");
        assert_eq!(seen.iter().map(|screen| screen["width"].as_u64().unwrap()).collect::<Vec<_>>(), [390, 1280]);
        for screen in &seen {
            assert_eq!(screen["faults"], serde_json::json!([]), "{scenario} at {} pixels", screen["width"]);
            assert!(screen["document"].as_u64() <= screen["width"].as_u64(), "{scenario} scrolls sideways: {screen}");
            assert!(screen["figures"].as_u64().unwrap() >= figures_min, "{screen}");
            assert_eq!(screen["asked"], serde_json::json!([]), "the page asks for nothing");
            assert_eq!(screen["dark"], theme == 0);
        }
        papers.push(seen[0]["paper"].clone());
    }
    assert_ne!(papers[0], papers[1], "dark is dark");
}

/// The rows of the table under a figure.
fn rows(page: &str, figure: &str) -> Vec<(String, String)> {
    let html = scraper::Html::parse_document(page);
    let select = |selector: &str| scraper::Selector::parse(selector).unwrap();
    let text = |row: scraper::ElementRef, cell: &str| row.select(&select(cell)).flat_map(|cell| cell.text()).collect::<String>();
    html.select(&select(&format!("#{figure} tbody tr"))).map(|row| (text(row, "th"), text(row, "td"))).collect()
}

#[test]
fn what_a_variant_refuses_is_no_saving_of_any_cause() {
    // By hand, in dollars: alice's three requests 0.00021 + 0.00021 + 0.000612, bob's two 0.0055 + 0.000255. The budget holds none of their worst cases.
    let all = [("as configured", "0.00679"), ("no longer answered: what that had cost", "-0.00679"), ("nothing", "0.00000")];
    let bobs = [("as configured", "0.00679"), ("no longer answered: what that had cost", "-0.00576"), ("nothing", "0.00103")];
    for (clients, refusal, expected) in [
        ("", "budget.global = { limit = \"0.00001 USD\", every = \"1d\" }", all),
        ("[clients]\nsdk = \"openai\"\n", "budget.global = { limit = \"0.00001 USD\", every = \"1d\" }", all),
        ("unknown_keys = \"add\"\n", "keys.bob = { budget = { limit = \"0.00001 USD\", every = \"1d\" } }", bobs),
    ] {
        let home = tempfile::tempdir().unwrap();
        let (before, _) = cli::SCENARIO.split_once("[[variant]]\nname = \"all").unwrap();
        let scenario = format!("{}[[variant]]\nname = \"nothing\"\nset = {{ {refusal} }}\n", before.replace("[world]", &format!("{clients}[world]")));
        for (name, text) in [("five.csv", cli::TRACE), ("gateway.toml", cli::GATEWAY), ("scenario.toml", &scenario)] {
            fs::write(home.path().join(name), text).unwrap();
        }
        let found = rows(&page(home.path(), "scenario.toml"), "waterfall-1");
        let found: Vec<(&str, &str)> = found.iter().map(|(name, amount)| (name.as_str(), amount.as_str())).collect();
        assert_eq!(found, expected, "{clients}{refusal}");
    }
}

#[test]
fn the_page_of_the_quickstart_can_be_read_on_any_screen() {
    check("scenarios/quickstart.toml", 7, checkout().path());
}

#[test]
fn the_page_of_many_variants_with_long_names_and_seeds_can_be_read_on_any_screen() {
    let home = checkout();
    let scenario = fs::read_to_string(home.path().join("scenarios/fallback_realistic.toml")).unwrap();
    let mut scenario = scenario.replace("seeds = 3 ", "seeds = 2 ");
    for number in 1..=6 {
        scenario.push_str(&format!(
            "[[variant]]\nname = \"at most {number} attempts for one request, and no more than that\"\nset = {{ attempts.per_request = {number} }}\n"
        ));
    }
    fs::write(home.path().join("scenarios/many.toml"), scenario).unwrap();
    check("scenarios/many.toml", 13, home.path());
}

#[test]
fn the_pages_of_sweeps_can_be_read_on_any_screen() {
    let axes =
        "'models.gpt-4o-mini.max_tokens' = [{ default = 50, cap = 60 }, { default = 100, cap = 200 }]\n'attempts.per_request' = [1, 2, 3, 4]\n";
    for (mode, figures) in [("grid", 4), ("one-at-a-time", 4)] {
        let home = tempfile::tempdir().unwrap();
        let scenario = format!("{}\n[sweep]\nmode = \"{mode}\"\n{axes}", cli::SCENARIO);
        for (name, text) in [("five.csv", cli::TRACE), ("gateway.toml", cli::GATEWAY), ("scenario.toml", &scenario)] {
            fs::write(home.path().join(name), text).unwrap();
        }
        check("scenario.toml", figures, home.path());
    }
}
