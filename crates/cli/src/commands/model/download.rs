//! Downloads by HTTP that go on after an interruption, from servers that may do anything.

use std::time::Duration;

use eyre::{Context, Report, Result, eyre};
use futures::StreamExt as _;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_RANGE, RANGE,
};
use reqwest::{Client, StatusCode, Url, redirect};

use super::part::Part;
use super::progress::{Progress, size};

/// Longest silence of a server, while it connects and between any two pieces.
const STALL: Duration = Duration::from_secs(30);
/// Attempts in a row that bring nothing worth mentioning.
const TRIES: u32 = 5;
/// Pause after the first such attempt; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// What is worth mentioning. Less would let a server that gives a byte a connection keep its client for ever.
const WORTH: u64 = 1 << 20;
const REDIRECTS: usize = 5;

/// Why an attempt ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The network's or the server's condition: another attempt may go on.
    Passing(Report),
    /// Another attempt would end alike. What has come is kept.
    Lasting(Report),
    /// What has come is worth nothing.
    Spoilt(Report),
}

/// Gets files by http(s).
#[derive(Debug)]
pub(super) struct Downloader {
    client: Client,
    tries: u32,
    pause: Duration,
}

/// What the server has said of the file.
#[derive(Debug, Default)]
struct Known {
    total: Option<u64>,
    /// Names the file's state: a server that has another one now sends it from the start.
    tag: Option<HeaderValue>,
}

/// What the body of an answer is.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    /// The file from its first byte on, of so many bytes if that is said.
    Whole { total: Option<u64> },
    /// The file from the asked byte on, up to `end`.
    Rest { end: u64, total: Option<u64> },
    /// Nothing: the file ends at the asked byte.
    Nothing,
    /// Nothing: the file ends before the asked byte, or the server doesn't say where.
    Beyond,
}

impl Downloader {
    /// # Errors
    /// TLS can't be set up.
    pub(super) fn new(url: &Url) -> Result<Self> {
        Self::with(url, STALL, TRIES, PAUSE)
    }

    fn with(url: &Url, stall: Duration, tries: u32, pause: Duration) -> Result<Self> {
        let builder = || {
            Client::builder()
                .connect_timeout(stall)
                .read_timeout(stall)
                .redirect(redirect::Policy::limited(REDIRECTS))
        };
        let client = match builder().build() {
            // A machine without installed certificates can still do without TLS.
            Err(_) if url.scheme() == "http" => builder().tls_certs_only([]).build(),
            built => built,
        };
        Ok(Self { client: client.wrap_err("can't set TLS up")?, tries, pause })
    }

    /// Appends to `part` until it holds the whole file.
    ///
    /// # Errors
    /// [`Failure::Lasting`] or [`Failure::Spoilt`].
    pub(super) async fn fetch(
        &self,
        url: &Url,
        part: &mut Part,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let (mut known, mut failures, mut best) = (Known::default(), 0, part.len());
        loop {
            let error = match self.attempt(url, part, &mut known, progress).await {
                Err(Failure::Passing(error)) => error,
                end => return end,
            };
            // Against the most there ever was: a server that begins anew each time gets no further.
            if part.len() >= best.saturating_add(WORTH) {
                failures = 0;
            }
            best = best.max(part.len());
            failures += 1;
            if failures >= self.tries {
                return Err(Failure::Lasting(error.wrap_err(format!("gave up after {failures} attempts"))));
            }
            let pause = self.pause * 2u32.pow(failures - 1);
            progress.note(&format!("{error:#}; trying again in {} s", pause.as_secs()));
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        url: &Url,
        part: &mut Part,
        known: &mut Known,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        // Anything else than the file's own bytes could not be continued or hashed.
        let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if part.len() > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.len()));
            if let Some(tag) = &known.tag {
                request = request.header(IF_RANGE, tag);
            }
        }
        let response = request.send().await.map_err(broken)?;
        refuse_status(response.status(), part.len())?;
        let (end, total) = match body(response.status(), response.headers(), part.len())? {
            Body::Nothing => return Ok(()),
            Body::Beyond => {
                part.restart().map_err(Failure::Lasting)?;
                return Err(Failure::Passing(eyre!("there is more here than the server has; starting over")));
            }
            Body::Whole { total } => {
                if part.len() > 0 {
                    progress.note(
                        "the server does not go on in the middle, or has another file now; starting over",
                    );
                    part.restart().map_err(Failure::Lasting)?;
                }
                known.total = total;
                (total, total)
            }
            Body::Rest { end, total } => (Some(end), total),
        };
        known.learn(total, response.headers())?;
        progress.total(known.total);
        room(part, known.total)?;

        let limit = end.into_iter().chain(known.total).min();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(broken)?;
            let len = part.len().saturating_add(piece.len() as u64);
            if let Some(limit) = limit.filter(|limit| len > *limit) {
                return Err(Failure::Spoilt(eyre!(
                    "the server sends more than the {limit} bytes it announced"
                )));
            }
            part.append(&piece).map_err(Failure::Lasting)?;
            progress.add(piece.len() as u64, part.len());
        }
        match (known.total, end) {
            (Some(total), _) if part.len() < total => {
                Err(Failure::Passing(eyre!("the server sent {} of {total} bytes", part.len())))
            }
            // More may follow a part of a file whose size is unknown; the server says so when it is asked for more.
            (None, Some(_)) => Err(Failure::Passing(eyre!("the server does not say where the file ends"))),
            _ => Ok(()),
        }
    }
}

impl Known {
    fn learn(&mut self, total: Option<u64>, headers: &HeaderMap) -> Result<(), Failure> {
        if let (Some(before), Some(now)) = (self.total, total)
            && before != now
        {
            return Err(Failure::Spoilt(eyre!(
                "the server's file changed meanwhile, from {before} to {now} bytes"
            )));
        }
        self.total = self.total.or(total);
        // A weak tag does not promise the same bytes.
        self.tag = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned();
        Ok(())
    }
}

/// Says so before hours of download where the rest will not fit.
fn room(part: &Part, total: Option<u64>) -> Result<(), Failure> {
    let wanted = total.unwrap_or(0).saturating_sub(part.len());
    match part.free() {
        Some(free) if free < wanted => Err(Failure::Lasting(eyre!(
            "{} more are to come, but the disk has room for {} only",
            size(wanted),
            size(free)
        ))),
        _ => Ok(()),
    }
}

fn refuse_status(status: StatusCode, asked: u64) -> Result<(), Failure> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if asked > 0 => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(Failure::Passing(eyre!("the server answers {status}")))
        }
        _ if status.is_server_error() => Err(Failure::Passing(eyre!("the server answers {status}"))),
        _ => Err(Failure::Lasting(eyre!("the server answers {status}"))),
    }
}

/// What the answer to a request for the bytes from `asked` on brings.
fn body(status: StatusCode, headers: &HeaderMap, asked: u64) -> Result<Body, Failure> {
    let nonsense = |what: String| Failure::Lasting(eyre!("the server's answer makes no sense: {what}"));
    let text = |name: &HeaderName| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()));
    if let Some(encoding) = text(&CONTENT_ENCODING).filter(|e| !e.eq_ignore_ascii_case("identity")) {
        return Err(nonsense(format!("it is encoded as {encoding}, which was not asked for")));
    }
    let length = match text(&CONTENT_LENGTH) {
        None => None,
        Some(digits) => Some(digits.parse::<u64>().map_err(|_| nonsense(format!("{digits} bytes")))?),
    };
    if status == StatusCode::OK {
        return Ok(Body::Whole { total: length });
    }
    let range = text(&CONTENT_RANGE);
    let parsed = range.as_deref().and_then(content_range);
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        let ends_here = parsed == Some((None, Some(asked)));
        return Ok(if ends_here { Body::Nothing } else { Body::Beyond });
    }
    let Some((Some((start, end)), total)) = parsed else {
        return Err(nonsense(format!("part of the file, with the range {range:?}")));
    };
    if start != asked {
        return Err(nonsense(format!("asked for the bytes from {asked} on, it sends those from {start} on")));
    }
    if length.is_some_and(|length| length != end - start) {
        return Err(nonsense(format!("{length:?} bytes, with the range {range:?}")));
    }
    Ok(Body::Rest { end, total })
}

/// First byte and the one after the last, and the file's size: `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`.
#[expect(clippy::type_complexity, reason = "two optional halves, read at one place")]
fn content_range(text: &str) -> Option<(Option<(u64, u64)>, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let total = if total == "*" { None } else { Some(total.parse::<u64>().ok()?) };
    if range == "*" {
        return Some((None, total));
    }
    let (first, last) = range.split_once('-')?;
    let (start, end) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    (start < end && total.is_none_or(|total| end <= total)).then_some((Some((start, end)), total))
}

/// An exchange that failed. Without the address, which may hold a password.
fn broken(error: reqwest::Error) -> Failure {
    let lasting = error.is_redirect() || error.is_builder();
    let text = if error.is_timeout() { "the server is silent" } else { "the connection broke" };
    let report = Report::new(error.without_url()).wrap_err(text);
    if lasting { Failure::Lasting(report) } else { Failure::Passing(report) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_range_is_read_only_if_it_makes_sense() {
        assert_eq!(content_range("bytes 5-9/10"), Some((Some((5, 10)), Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((Some((5, 10)), None)));
        assert_eq!(content_range("bytes */10"), Some((None, Some(10))));
        for text in [
            "",
            "5-9/10",
            "bytes 5-10/10",
            "bytes 9-5/10",
            "bytes 5-/10",
            "bytes -5-9/10",
            "bytes 5-18446744073709551615/*",
        ] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn answers_are_held_to_what_was_asked() {
        let partial = StatusCode::PARTIAL_CONTENT;
        let rest = headers(&[(CONTENT_RANGE, "bytes 5-9/10"), (CONTENT_LENGTH, "5")]);
        assert_eq!(body(partial, &rest, 5).unwrap(), Body::Rest { end: 10, total: Some(10) });
        assert!(matches!(body(partial, &rest, 4), Err(Failure::Lasting(_))));
        for lines in [
            headers(&[]),
            headers(&[(CONTENT_RANGE, "bytes 5-9/10"), (CONTENT_LENGTH, "6")]),
            headers(&[(CONTENT_RANGE, "bytes 5-9/10"), (CONTENT_ENCODING, "gzip")]),
        ] {
            assert!(matches!(body(partial, &lines, 5), Err(Failure::Lasting(_))), "{lines:?}");
        }
        let whole = headers(&[(CONTENT_LENGTH, "10")]);
        assert_eq!(body(StatusCode::OK, &whole, 5).unwrap(), Body::Whole { total: Some(10) });
        assert_eq!(body(StatusCode::OK, &headers(&[]), 0).unwrap(), Body::Whole { total: None });
        let beyond = StatusCode::RANGE_NOT_SATISFIABLE;
        assert_eq!(body(beyond, &headers(&[(CONTENT_RANGE, "bytes */5")]), 5).unwrap(), Body::Nothing);
        assert_eq!(body(beyond, &headers(&[(CONTENT_RANGE, "bytes */4")]), 5).unwrap(), Body::Beyond);
        assert_eq!(body(beyond, &headers(&[]), 5).unwrap(), Body::Beyond);
        // Nobody asked for a part.
        assert!(matches!(refuse_status(partial, 0), Err(Failure::Lasting(_))));
        assert!(matches!(refuse_status(StatusCode::NOT_FOUND, 0), Err(Failure::Lasting(_))));
        assert!(matches!(refuse_status(StatusCode::BAD_GATEWAY, 0), Err(Failure::Passing(_))));
    }

    /// Gives the answers in turn, one a connection, and then keeps the connection open if `silent`. Then there is no server.
    async fn server(answers: &[&'static str], silent: bool) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = answers.to_vec();
        let url = format!("http://{}/model.gguf", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut open = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let _ = socket.read(&mut [0; 4096]).await.unwrap();
                socket.write_all(answer.as_bytes()).await.unwrap();
                if silent {
                    open.push(socket);
                }
            }
            if silent {
                std::future::pending::<()>().await;
            }
        });
        url.parse().unwrap()
    }

    async fn fetch(url: &Url, out: &Path, tries: u32) -> (Result<(), Failure>, String) {
        let (stall, pause) = (Duration::from_millis(200), Duration::from_millis(1));
        let downloader = Downloader::with(url, stall, tries, pause).unwrap();
        let mut part = Part::open(out).unwrap();
        let end = downloader.fetch(url, &mut part, &mut Progress::new()).await;
        (end, std::fs::read_to_string(part.path()).unwrap())
    }

    fn text(failure: Result<(), Failure>) -> String {
        match failure {
            Err(Failure::Lasting(e)) => format!("lasting: {e:#}"),
            Err(Failure::Spoilt(e)) => format!("spoilt: {e:#}"),
            other => format!("{other:?}"),
        }
    }

    const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"a\"\r\n\r\n01234";

    #[tokio::test]
    async fn what_was_cut_is_continued_and_what_stalls_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("cut");
        let rest =
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789";
        let (end, held) = fetch(&server(&[CUT, rest], false).await, &out, 2).await;
        assert_eq!((text(end).as_str(), held.as_str()), ("Ok(())", "0123456789"));

        let out = dir.path().join("stalls");
        let (end, held) = fetch(&server(&[CUT], true).await, &out, 1).await;
        let said = text(end);
        assert!(said.starts_with("lasting: gave up after 1 attempts: the server is silent"), "{said}");
        assert_eq!(held, "01234");
        // A server that never answers at all.
        let (end, held) = fetch(&server(&[""], true).await, &out, 1).await;
        assert!(text(end).contains("the server is silent"));
        assert_eq!(held, "01234");
    }

    #[tokio::test]
    async fn a_server_that_begins_anew_or_changes_its_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("anew");
        // As often as it is cut at the same place, it gets nowhere.
        let (end, held) = fetch(&server(&[CUT; 3], false).await, &out, 3).await;
        assert!(text(end).starts_with("lasting: gave up after 3 attempts"));
        assert_eq!(held, "01234");
        // The part is longer than the file.
        let short =
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */3\r\nContent-Length: 0\r\n\r\n";
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let url = server(&[short, whole], false).await;
        let (end, held) = fetch(&url, &out, 2).await;
        assert_eq!((text(end).as_str(), held.as_str()), ("Ok(())", "abc"));

        let out = dir.path().join("changes");
        let grown =
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/11\r\nContent-Length: 5\r\n\r\n56789";
        let (end, _) = fetch(&server(&[CUT, grown], false).await, &out, 2).await;
        assert!(text(end).starts_with("spoilt: the server's file changed"));
    }

    #[tokio::test]
    async fn more_than_was_announced_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("more");
        let more = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nTransfer-Encoding: chunked\r\n\r\n\
                    6\r\n56789A\r\n0\r\n\r\n";
        let (end, _) = fetch(&server(&[CUT, more], false).await, &out, 2).await;
        assert_eq!(text(end), "spoilt: the server sends more than the 10 bytes it announced");
        // Past its Content-Length nothing belongs to the file.
        let out = dir.path().join("junk");
        let junk = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef";
        let (end, held) = fetch(&server(&[junk], false).await, &out, 1).await;
        assert_eq!((text(end).as_str(), held.as_str()), ("Ok(())", "abc"));
    }

    #[tokio::test]
    async fn redirects_end() {
        let dir = tempfile::tempdir().unwrap();
        let loops =
            "HTTP/1.1 302 Found\r\nLocation: /model.gguf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let url = server(&[loops; REDIRECTS + 1], false).await;
        let (end, held) = fetch(&url, &dir.path().join("loops"), 5).await;
        assert!(text(end).starts_with("lasting: "), "one attempt");
        assert_eq!(held, "");
    }
}
