//! `assay model` as people call it, against servers that behave and servers that do not.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::hex;
use assay_tests::{Network, root};
use eyre::{Result, ensure, eyre};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MODEL: &str = "models/tales-3m.gguf";
const OTHER: &str = "models/tales-300k.gguf";
/// As `sha256sum` prints it.
const SHA256: &str = "fc080cc6f35db36e879ba462c69fd537084bc8f80c0dcd6575995b178255a7b3";

/// What a server does with a request for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    /// Sends what is asked for, ranges included.
    Good,
    /// Sends the whole file whatever is asked for.
    NoRanges,
    /// As good, but the first connection breaks in the middle.
    CutsOnce,
    /// As good, but every connection breaks after less than what counts as progress.
    CutsAlways,
    /// Sends the rest and more than that, which the range that it states leaves out.
    TooMuch,
    /// Does not say how large the file is.
    NoSize,
    /// Refuses.
    Missing,
}

/// A server of one file.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start(file: &str, manners: Manners) -> Result<Self> {
        let bytes = Arc::new(std::fs::read(root().join(file))?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/tales.gguf", listener.local_addr()?);
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let bytes = bytes.clone();
                // A client that hangs up is no failure of the server.
                tokio::spawn(async move { drop(answer(socket, &bytes, manners, number).await) });
            }
        });
        Ok(Self { url, requests })
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// First byte that a request asks for.
async fn asked(socket: &mut TcpStream) -> Result<Option<usize>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8(head)?.to_ascii_lowercase();
    let range = head.lines().find_map(|l| l.strip_prefix("range: bytes="));
    Ok(range.map(|r| r.trim_end_matches('-').parse()).transpose()?)
}

async fn answer(mut socket: TcpStream, file: &[u8], manners: Manners, number: usize) -> Result<()> {
    let from = asked(&mut socket).await?.filter(|_| manners != Manners::NoRanges);
    let size = file.len();
    let rest = &file[from.unwrap_or(0).min(size)..];
    let close = "Connection: close\r\n";
    let head = match from {
        _ if manners == Manners::Missing => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n".into(),
        Some(from) if manners == Manners::TooMuch => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}\r\n{close}",
            size - 1
        ),
        Some(from) if from >= size => {
            format!(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n"
            )
        }
        Some(from) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}\r\nContent-Length: {}\r\n{close}",
            size - 1,
            rest.len()
        ),
        None if manners == Manners::NoSize => format!("HTTP/1.1 200 OK\r\n{close}"),
        None => format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n{close}"),
    };
    socket.write_all(format!("{head}\r\n").as_bytes()).await?;
    let sent = match manners {
        Manners::CutsOnce if number == 0 => rest.len() / 2,
        Manners::CutsAlways => rest.len().min(1_000),
        Manners::Missing => 0,
        _ => rest.len(),
    };
    socket.write_all(&rest[..sent]).await?;
    if manners == Manners::TooMuch {
        socket.write_all(b"and more").await?;
    }
    socket.shutdown().await?;
    Ok(())
}

async fn model(arguments: &[&str], folder: &Path) -> Result<Output> {
    let mut command = Network::command("model")?;
    command.args(arguments).current_dir(folder).env("NO_PROXY", "127.0.0.1");
    for variable in ["ASSAY_RPC_URL", "ASSAY_DEPLOYMENT"] {
        command.env_remove(variable);
    }
    Ok(command.output().await?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Succeeds; what it prints on both streams.
async fn works(arguments: &[&str], folder: &Path) -> Result<(String, String)> {
    let o = model(arguments, folder).await?;
    let (out, err) = (text(&o.stdout), text(&o.stderr));
    ensure!(o.status.success(), "{arguments:?}: {out}{err}");
    Ok((out, err))
}

/// Fails with an error that holds all `parts`.
async fn refused(arguments: &[&str], folder: &Path, parts: &[&str]) -> Result<()> {
    let o = model(arguments, folder).await?;
    let error = text(&o.stderr);
    ensure!(o.status.code().is_some_and(|code| code != 0), "{arguments:?}: {error}");
    for part in parts {
        ensure!(error.contains(part), "{arguments:?}, without {part:?}: {error}");
    }
    Ok(())
}

fn holds(folder: &Path, names: &[&str]) -> Result<()> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        found.push(entry?.file_name().into_string().map_err(|name| eyre!("{name:?}"))?);
    }
    found.sort();
    ensure!(found == names, "{found:?}, not {names:?}");
    Ok(())
}

fn is_model(path: &Path) -> Result<()> {
    ensure!(std::fs::read(path)? == std::fs::read(root().join(MODEL))?, "{} differs", path.display());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_brings_the_file_and_a_second_one_finds_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let server = Server::start(MODEL, Manners::Good).await?;
    let pull = ["pull", &server.url, "--sha256", SHA256];
    let (out, err) = works(&pull, folder).await?;
    ensure!(out.contains(&format!("sha256  0x{SHA256}")) && out.contains("tales.gguf"), "{out}");
    // A line every 10 %; one piece of the file may take several of them.
    let lines = err.lines().filter(|l| l.contains(" %  ")).count();
    ensure!((3..=10).contains(&lines) && err.contains("100 %") && !err.contains('\r'), "{err}");
    is_model(&folder.join("tales.gguf"))?;
    holds(folder, &["tales.gguf"])?;

    let (out, _) = works(&pull, folder).await?;
    ensure!(out.contains("already") && server.requests() == 1, "{out}");
    refused(&["pull", &server.url], folder, &["tales.gguf exists", "--sha256"]).await?;
    let zero = "00".repeat(32);
    let other = ["pull", &server.url, "--sha256", &zero];
    refused(&other, folder, &["is another file", &zero, SHA256]).await?;
    is_model(&folder.join("tales.gguf"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_goes_on_where_an_earlier_one_ended() -> Result<()> {
    let bytes = std::fs::read(root().join(MODEL))?;
    for (manners, had, requests) in [
        (Manners::Good, 1_000_000, 1),
        // All of it was there, and needs no server.
        (Manners::Missing, bytes.len(), 0),
        (Manners::NoRanges, 1_000_000, 1),
        (Manners::CutsOnce, 1_000_000, 2),
        (Manners::CutsOnce, 0, 2),
        (Manners::NoSize, 0, 1),
    ] {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("m.part"), &bytes[..had])?;
        let server = Server::start(MODEL, manners).await?;
        let (_, err) = works(&["pull", &server.url, "--out", "m", "--sha256", SHA256], folder.path()).await?;
        is_model(&folder.path().join("m"))?;
        holds(folder.path(), &["m"])?;
        ensure!(server.requests() == requests, "{manners:?}: {} requests", server.requests());
        ensure!(err.contains("starting over") == (manners == Manners::NoRanges), "{manners:?}: {err}");
        ensure!(err.contains("trying again") == (manners == Manners::CutsOnce), "{manners:?}: {err}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gives_up_leaves_what_it_sent_for_the_next_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let server = Server::start(MODEL, Manners::CutsAlways).await?;
    let parts =
        ["gave up after 5 attempts", "5.0 kB are kept in m.part", "running the same command again resumes"];
    refused(&["pull", &server.url, "--out", "m"], folder, &parts).await?;
    holds(folder, &["m.part"])?;
    let server = Server::start(MODEL, Manners::Good).await?;
    let (out, err) = works(&["pull", &server.url, "--out", "m"], folder).await?;
    ensure!(err.contains("nothing shows that it is of the same file"), "{err}");
    ensure!(out.contains(SHA256), "{out}");
    is_model(&folder.join("m"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_gets_no_name_and_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let other = Server::start(OTHER, Manners::Good).await?;
    let found = works(&["pull", &other.url, "--out", "other"], folder).await?.0;
    let found = found.lines().find_map(|l| l.strip_prefix("sha256  0x")).unwrap_or_default().to_owned();
    ensure!(found.len() == 64 && hex::decode(&found).is_ok(), "{found}");
    std::fs::remove_file(folder.join("other"))?;
    let pull = ["pull", &other.url, "--out", "m", "--sha256", SHA256];
    refused(&pull, folder, &[&format!("expected sha256 0x{SHA256}, found 0x{found}")]).await?;
    holds(folder, &[])?;
    // An earlier run's part of another file.
    std::fs::write(folder.join("m.part"), b"something else")?;
    let server = Server::start(MODEL, Manners::Good).await?;
    let pull = ["pull", &server.url, "--out", "m", "--sha256", SHA256];
    refused(&pull, folder, &["expected sha256"]).await?;
    holds(folder, &[])?;
    std::fs::write(folder.join("m.part"), b"something else")?;
    let server = Server::start(MODEL, Manners::TooMuch).await?;
    let pull = ["pull", &server.url, "--out", "m", "--sha256", SHA256];
    refused(&pull, folder, &["the server sends more than the 3417696 bytes it announced"]).await?;
    holds(folder, &[])?;
    let server = Server::start(MODEL, Manners::Missing).await?;
    refused(&["pull", &server.url], folder, &["404"]).await?;
    ensure!(server.requests() == 1, "asked again for what is not there");
    holds(folder, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn other_places_are_copied_or_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let url = format!("file://{}", root().join(MODEL).display());
    works(&["pull", &url, "--sha256", SHA256], folder).await?;
    is_model(&folder.join("tales-3m.gguf"))?;
    refused(&["pull", "file:///none.gguf", "--out", "m"], folder, &["can't read /none.gguf"]).await?;
    refused(&["pull", "file:///dev/zero", "--out", "m"], folder, &["is no file"]).await?;
    refused(&["pull", "ipfs://cid/m.gguf"], folder, &["can't download by ipfs:"]).await?;
    refused(&["pull", "http://127.0.0.1:1/"], folder, &["--out"]).await?;
    refused(&["pull"], folder, &["required"]).await?;
    refused(&["pull", "--pool", &"00".repeat(32)], folder, &["--deployment"]).await?;
    holds(folder, &["tales-3m.gguf"])
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_compares_and_show_shows() -> Result<()> {
    let folder = root();
    let (out, _) = works(&["show", MODEL, "--json"], &folder).await?;
    let shown: serde_json::Value = serde_json::from_str(&out)?;
    let model_root = shown["root"].as_str().unwrap_or_default().to_owned();
    let verify = ["verify", MODEL, "--sha256", SHA256, "--root", &model_root];
    let (out, _) = works(&verify, &folder).await?;
    ensure!(out.contains(SHA256) && out.contains(&model_root), "{out}");
    let zero = format!("0x{}", "00".repeat(32));
    let parts = ["root differs: --root says", &zero, &model_root];
    refused(&["verify", MODEL, "--root", &zero], &folder, &parts).await?;
    refused(&["verify", MODEL, "--sha256", &zero], &folder, &["sha256 differs", SHA256]).await?;
    // No model, but its sha256 is still told.
    let o = model(&["verify", "README.md"], &folder).await?;
    ensure!(!o.status.success() && text(&o.stdout).starts_with("sha256  0x"), "{o:?}");
    for (command, part) in
        [("pull", "assay model pull https://"), ("verify", "assay model verify model.gguf")]
    {
        let (help, _) = works(&[command, "--help"], &folder).await?;
        ensure!(help.contains("Examples:") && help.contains(part), "{help}");
    }
    Ok(())
}
