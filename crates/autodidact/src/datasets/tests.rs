//! Transfers from a server of our own: whole, wrong, missing, cut off and taken up again, and none at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// Longer than what lies in a socket's buffers, so that a server which stops in the middle has sent something.
const LENGTH: usize = 300_000;

/// How the server treats a request.
#[derive(Clone, Copy)]
enum Answer {
    Whole,
    /// Says how long it is and stops after half of it.
    Half,
    /// Nothing of that name.
    Missing,
    /// Sends all of it whatever part is asked for.
    IgnoresRanges,
}

fn body() -> Vec<u8> {
    (0..LENGTH).map(|i| (i * i / 7) as u8).collect()
}

fn published() -> Dataset {
    let mut md5 = md5::Md5::new();
    md5.add(&body());
    let file = Published {
        name: "x.bin",
        md5: md5.finish().leak(),
        megabytes: 1,
    };
    Dataset {
        name: "x",
        summary: "",
        license: "",
        url: "http://127.0.0.1:9/",
        files: vec![file].leak(),
    }
}

/// A server that gives these answers, one after the other; returns its address, and what the requests ask for.
fn serve(answers: &'static [Answer]) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let _ = asked.send(reply(stream, *answer));
        }
    });
    (address, requests)
}

/// Answers one request; returns its first line and where it asks to begin.
fn reply(mut stream: TcpStream, answer: Answer) -> String {
    let (mut first, mut from) = (String::new(), None);
    for line in BufReader::new(&stream).lines().map_while(|line| line.ok()) {
        if line.is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(range) = lower.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
        if first.is_empty() {
            first = line;
        }
    }
    let body = body();
    let begin = match answer {
        Answer::IgnoresRanges => 0,
        _ => from.unwrap_or(0).min(LENGTH),
    };
    let head = match answer {
        Answer::Missing => "HTTP/1.1 404 Not Found\r\n".to_owned(),
        _ if begin == LENGTH => "HTTP/1.1 416 Range Not Satisfiable\r\n".to_owned(),
        _ if begin > 0 => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {begin}-{}/{LENGTH}\r\n",
            LENGTH - 1
        ),
        _ => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let rest = if matches!(answer, Answer::Missing) {
        &[]
    } else {
        &body[begin..]
    };
    let sent = if matches!(answer, Answer::Half) {
        rest.len() / 2
    } else {
        rest.len()
    };
    let head = format!(
        "{head}Content-Length: {}\r\nConnection: close\r\n\r\n",
        rest.len()
    );
    // A client may have heard enough.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&rest[..sent]);
    format!("{first} from {from:?}")
}

/// Whether there is a program to fetch with; says aloud that a test is skipped where there is none.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn can_fetch() -> bool {
    let there = |program| {
        let mut command = std::process::Command::new(program);
        command.arg("--version").output().is_ok()
    };
    let can = there("curl") || there("wget");
    if !can {
        eprintln!("skipped: neither curl nor wget is installed");
    }
    can
}

fn store(folder: &Path, address: &str) -> Store {
    Store::new(folder, Some(address.to_owned()))
}

fn hidden(folder: &Path) -> PathBuf {
    folder.join("x/.x.bin.part")
}

#[test]
fn a_file_is_fetched_checked_and_not_fetched_again() {
    if !can_fetch() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(&[Answer::Whole]);
    let (store, set) = (store(folder.path(), &address), published());
    assert!(!store.has(&set));
    let mut seen = 0;
    for _ in 0..2 {
        let there = store.fetch(&set, &mut |_, bytes, _| seen = bytes).unwrap();
        assert!(std::fs::read(there.join("x.bin")).unwrap() == body());
    }
    assert_eq!(seen, LENGTH as u64);
    assert!(store.has(&set) && !hidden(folder.path()).exists());
    let asked = requests.recv().unwrap();
    assert!(asked.starts_with("GET /x/x.bin "), "{asked}");
}

#[test]
fn of_two_who_fetch_at_once_one_waits_for_the_other() {
    if !can_fetch() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(&[Answer::Whole]);
    let (store, set) = (store(folder.path(), &address), published());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| store.fetch(&set, &mut |_, _, _| ()).unwrap());
        }
    });
    assert!(std::fs::read(folder.path().join("x/x.bin")).unwrap() == body());
    assert_eq!(requests.iter().count(), 1);
}

#[test]
fn a_transfer_that_is_cut_off_goes_on_where_it_stopped() {
    if !can_fetch() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(&[Answer::Half, Answer::Half, Answer::Whole]);
    let set = published();
    let there = store(folder.path(), &address)
        .fetch(&set, &mut |_, _, _| ())
        .unwrap();
    assert!(std::fs::read(there.join("x.bin")).unwrap() == body());
    let asked: Vec<String> = requests.iter().collect();
    assert!(asked[1].ends_with("from Some(150000)"), "{asked:?}");
    assert!(asked[2].ends_with("from Some(225000)"), "{asked:?}");
}

#[test]
fn what_an_earlier_call_left_is_taken_up_or_thrown_away() {
    if !can_fetch() {
        return;
    }
    let whole = body();
    for (left, answers) in [
        (whole[..1000].to_vec(), &[Answer::Whole][..]),
        // All of it: the server has no more, and the checksum is right.
        (whole.clone(), &[Answer::Whole]),
        // Of another file: what comes out has another checksum.
        (vec![7; 1000], &[Answer::Whole, Answer::Whole]),
        // A server that can't begin in the middle.
        (
            whole[..1000].to_vec(),
            &[Answer::IgnoresRanges, Answer::IgnoresRanges],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("x")).unwrap();
        std::fs::write(hidden(folder.path()), left).unwrap();
        let (address, _requests) = serve(answers);
        let there = store(folder.path(), &address)
            .fetch(&published(), &mut |_, _, _| ())
            .unwrap();
        assert!(std::fs::read(there.join("x.bin")).unwrap() == whole);
    }
}

#[test]
fn what_cannot_be_had_is_named_with_what_to_fetch_by_hand() {
    if !can_fetch() {
        return;
    }
    let right = published();
    let wrong = Published {
        md5: "00000000000000000000000000000000",
        ..right.files[0]
    };
    let wrong = Dataset {
        files: vec![wrong].leak(),
        ..right
    };
    let (missing, _) = serve(&[Answer::Missing]);
    let (whole, _) = serve(&[Answer::Whole]);
    // Nobody listens on a port that was just given back.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (address, set, words) in [
        (missing, right, "can't be fetched"),
        (whole, wrong, "expected the MD5 0000"),
        (nobody, right, "can't be fetched"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), &address);
        let error = store.fetch(&set, &mut |_, _, _| ()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        let place = folder.path().join("x/x.bin");
        assert!(!place.exists());
        let mend = error.remedy().unwrap();
        for part in [
            format!("{address}/x/x.bin"),
            format!("MD5 {}", set.files[0].md5),
            place.display().to_string(),
        ] {
            assert!(mend.contains(&part), "{mend}");
        }
    }
}

#[test]
fn names_are_found_however_they_are_written_and_files_have_checksums() {
    assert_eq!(find("CIFAR-10").unwrap().name, "cifar10");
    assert_eq!(find("fashion-mnist").unwrap().name, "fashion_mnist");
    assert!(find("cifar").is_none());
    for set in ALL {
        assert!(set.url.ends_with('/'), "{}", set.name);
        for file in set.files {
            assert!(file.md5.len() == 32 && file.megabytes > 0, "{}", file.name);
        }
    }
}
