//! `assay model pull`

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use assay_protocol::B256;
use eyre::{Context, Report, Result, bail, ensure, eyre};
use reqwest::Url;

use super::download::{Downloader, Failure};
use super::part::{self, Part};
use super::progress::{Progress, size};
use super::{PoolArgs, PoolModel};

const EXAMPLE: &str = "\
Examples:
  The model of a pool, from where its creator says it is:
    assay model pull --pool 0xPOOL --deployment deployments/11155111.json --rpc-url https://rpc.example
  The same, from a mirror; the pool's sha256 still decides:
    assay model pull https://mirror.example/model.gguf --pool 0xPOOL --deployment deployments/11155111.json
  By its address alone:
    assay model pull https://models.example/model.gguf --sha256 0xHASH --out models/model.gguf

What has come is in OUT.part until it is whole and its sha256 is right. After an interruption run the same command again: it
goes on from there. 'assay model verify' then compares the root as well.";

/// Downloads a model by its address, or by the pool that uses it, and keeps it only if its sha256 is right.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Where the file is: https://, http:// or file://. The pool's own if none is given.
    #[arg(required_unless_present = "pool")]
    uri: Option<String>,
    #[command(flatten)]
    pool: PoolArgs,
    /// What the file's sha256 must be. Without it and without a pool any file is accepted, and its sha256 printed.
    #[arg(long, value_name = "HEX")]
    sha256: Option<B256>,
    /// File to write; by default the last part of the address, in this folder. A file that exists is never overwritten.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Where bytes come from.
#[derive(Debug)]
enum Place {
    Http(Url),
    File(PathBuf),
}

pub(super) async fn run(args: &Args) -> Result<()> {
    let pool = args.pool.model().await?;
    let wanted = wanted(args.sha256, pool.as_ref())?;
    let url = address(args.uri.as_deref(), pool.as_ref())?;
    let place = Place::of(&url)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => PathBuf::from(name(&url)?),
    };
    if out.symlink_metadata().is_ok() {
        exists(&out, wanted)?;
        println!("{} is here already, with the right sha256", out.display());
        return Ok(());
    }
    let mut part = Part::open(&out)?;
    if part.len() > 0 {
        eprintln!("{} has {} from an earlier run", part.path().display(), size(part.len()));
        if wanted.is_none() {
            eprintln!("without a sha256 to compare with, nothing shows that it is of the same file");
        }
    }
    let mut progress = Progress::new();
    let end = match place {
        // An earlier run had it all, and ended before it could say so.
        _ if wanted == Some(part.sha256()) => Ok(()),
        Place::Http(url) => Downloader::new(&url)?.fetch(&url, &mut part, &mut progress).await,
        Place::File(from) => copy(&from, &mut part, &mut progress).map_err(Failure::Spoilt),
    };
    progress.end(part.len());
    if let Err(failure) = end {
        return Err(give_up(failure, &part));
    }
    let bytes = part.len();
    let found = part.finish(wanted, &out)?;
    println!("file    {}", out.display());
    println!("bytes   {bytes}");
    println!("sha256  {found}");
    Ok(())
}

/// What the file's sha256 must be, if anybody says.
fn wanted(given: Option<B256>, pool: Option<&PoolModel>) -> Result<Option<B256>> {
    match (given, pool) {
        (Some(given), Some(pool)) if given != pool.sha256 => {
            bail!("--sha256 is {given}, but the pool's is {}", pool.sha256)
        }
        (given, pool) => Ok(given.or(pool.map(|p| p.sha256))),
    }
}

fn address(given: Option<&str>, pool: Option<&PoolModel>) -> Result<Url> {
    let text = given.or(pool.map(|p| p.uri.as_str())).unwrap_or_default();
    if text.is_empty() {
        bail!(
            "the pool does not say where its model is. Ask its creator, then give the address here, or compare the file \
             with 'assay model verify FILE --pool ID'"
        );
    }
    text.parse().wrap_err_with(|| format!("{text:?} is no address; https://models.example/model.gguf is one"))
}

impl Place {
    fn of(url: &Url) -> Result<Self> {
        match url.scheme() {
            "http" | "https" => Ok(Self::Http(url.clone())),
            "file" => {
                let path = url.to_file_path().map_err(|()| eyre!("{url} names no file of this machine"))?;
                Ok(Self::File(path))
            }
            other => bail!(
                "can't download by {other}:, only by https:, http: and file:. Get {url} by other means and compare it \
                 with 'assay model verify FILE'"
            ),
        }
    }
}

/// The name that an address gives its file. The address may be a stranger's: the name stays in this folder, is not hidden
/// and looks like no option.
fn name(url: &Url) -> Result<String> {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let name: String = last.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    ensure!(
        !name.is_empty() && !name.starts_with(['.', '-']) && name.len() <= 200,
        "{url} gives no name for the file; choose one with --out"
    );
    Ok(name)
}

/// Fails unless the file that is there is the wanted one.
fn exists(out: &Path, wanted: Option<B256>) -> Result<()> {
    let Some(wanted) = wanted else {
        bail!("{} exists. Give --sha256 to compare it, or another --out", out.display());
    };
    let found = part::sha256(out)?;
    ensure!(
        found == wanted,
        "{} exists and is another file: expected sha256 {wanted}, found {found}. Remove it, or give another --out",
        out.display()
    );
    Ok(())
}

/// Copies a file of this machine, always from its start.
fn copy(from: &Path, part: &mut Part, progress: &mut Progress) -> Result<()> {
    part.restart()?;
    let said = || format!("can't read {}", from.display());
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let about = std::fs::metadata(from).wrap_err_with(said)?;
    ensure!(about.is_file(), "{} is no file", from.display());
    progress.total(Some(about.len()));
    let mut file = File::open(from).wrap_err_with(said)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).wrap_err_with(said)?;
        if count == 0 {
            return Ok(());
        }
        part.append(&buffer[..count])?;
        progress.add(count as u64, part.len());
    }
}

/// What to tell, and what to leave behind.
fn give_up(failure: Failure, part: &Part) -> Report {
    match failure {
        Failure::Spoilt(error) => {
            part.remove();
            error
        }
        Failure::Passing(error) | Failure::Lasting(error) if part.len() == 0 => {
            part.remove();
            error
        }
        Failure::Passing(error) | Failure::Lasting(error) => {
            let (kept, path) = (size(part.len()), part.path().display());
            eyre!("{error:#}\n       {kept} are kept in {path}: running the same command again resumes")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(uri: &str) -> PoolModel {
        PoolModel { uri: uri.to_owned(), sha256: B256::repeat_byte(1), root: B256::repeat_byte(2) }
    }

    #[test]
    fn a_strangers_address_names_a_plain_file() {
        let name = |text: &str| name(&text.parse().unwrap());
        assert_eq!(name("https://a.example/b/model-1.2.gguf?x=../y#z").unwrap(), "model-1.2.gguf");
        assert_eq!(
            name("https://a.example/b/..%2F..%2Fetc").unwrap_err().to_string().matches("--out").count(),
            1
        );
        assert_eq!(name("https://a.example/a%2Fb c.gguf").unwrap(), "a_2Fb_20c.gguf");
        for text in [
            "https://a.example",
            "https://a.example/b/",
            "https://a.example/.bashrc",
            "https://a.example/-rf",
        ] {
            assert!(name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_address_is_the_given_one_or_the_pools() {
        let pool = pool("https://a.example/m.gguf");
        assert_eq!(address(None, Some(&pool)).unwrap().as_str(), "https://a.example/m.gguf");
        assert_eq!(address(Some("file:///m.gguf"), Some(&pool)).unwrap().as_str(), "file:///m.gguf");
        let said = address(None, Some(&self::pool(""))).unwrap_err().to_string();
        assert!(said.contains("does not say where"), "{said}");
        assert!(address(Some("models/m.gguf"), None).unwrap_err().to_string().contains("is no address"));
    }

    #[test]
    fn places_are_of_this_machine_or_http() {
        let place = |text: &str| Place::of(&text.parse().unwrap());
        assert!(matches!(place("https://a.example/m.gguf"), Ok(Place::Http(_))));
        assert!(matches!(place("file:///m.gguf"), Ok(Place::File(path)) if path == Path::new("/m.gguf")));
        assert!(place("file://elsewhere/m.gguf").is_err());
        assert!(place("ipfs://cid").unwrap_err().to_string().contains("can't download by ipfs:"));
    }

    #[test]
    fn hashes_that_disagree_are_not_weighed() {
        let pool = pool("");
        assert_eq!(wanted(None, None).unwrap(), None);
        assert_eq!(wanted(None, Some(&pool)).unwrap(), Some(pool.sha256));
        assert_eq!(wanted(Some(pool.sha256), Some(&pool)).unwrap(), Some(pool.sha256));
        assert!(wanted(Some(B256::ZERO), Some(&pool)).is_err());
    }
}
