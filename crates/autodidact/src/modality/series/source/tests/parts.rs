//! Parts that the data comes in, and parts that are made.

use super::*;

const LONG: &str = "id,who,x\na,1,1\na,1,2\nb,2,3\nb,2,4\nc,1,5\nc,1,6\nd,3,7\nd,3,8\n";

fn both(path: impl AsRef<Path>, reading: &str) -> [Vec<String>; 2] {
    [Part::Train, Part::Test].map(|wanted| names(&*part(path.as_ref(), reading, wanted).unwrap()))
}

#[test]
fn no_group_is_in_two_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    write(folder.path(), "a.csv", LONG);
    let [train, test] = both(&path, "group = \"who\"\ntest_groups = [\"1\"]");
    assert_eq!(
        (train, test),
        (
            vec!["a/b/2".to_owned(), "a/d/3".to_owned()],
            vec!["a/a/1".to_owned(), "a/c/1".to_owned()],
        )
    );
    let [train, test] = both(&path, "group = \"who\"\ntest = 0.34");
    assert_eq!(train.len() + test.len(), 4);
    assert!(!test.is_empty() && !train.is_empty());
    let of = |names: &[String]| -> Vec<String> {
        names
            .iter()
            .map(|name| name[name.len() - 1..].to_owned())
            .collect()
    };
    assert!(of(&train).iter().all(|group| !of(&test).contains(group)));
    for reading in [
        "group = \"who\"\ntest_groups = [\"9\"]",
        "group = \"who\"\ntest_groups = [\"1\", \"2\", \"3\"]",
        "group = \"what\"\ntest = 0.5",
        "group = \"{}x\"\ntest = 0.5",
        "group = \"who\"\ntest = 0.01",
    ] {
        assert!(open(&spec(&path, reading)).is_err(), "{reading}");
    }
}

#[test]
fn groups_may_be_told_by_the_names_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["exp1_user01.csv", "exp2_user01.csv", "exp3_user02.csv"] {
        write(root, name, "x\n1\n2\n");
    }
    let [train, test] = both(root, "group = \"user{}\"\ntest_groups = [\"2\"]");
    assert_eq!(train, ["exp1_user01", "exp2_user01"]);
    assert_eq!(test, ["exp3_user02"]);
    for part in ["train", "test"] {
        write(root, &format!("parts/{part}/a_user7.csv"), "x\n1\n2\n");
    }
    let found = failed(root.join("parts"), "group = \"user{}\"");
    assert!(found.contains("group 7 is in two parts"), "{found}");
    let found = failed(root.join("parts"), "test = 0.5");
    assert!(found.contains("none beside parts"), "{found}");
}

#[test]
fn the_end_of_time_is_the_test_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let rows: String = (0..100).map(|row| format!("{row}\n")).collect();
    write(folder.path(), "a.csv", format!("x\n{rows}"));
    let [train, test] = both(&path, "window = 10\nstride = 10\ntest = 0.3");
    assert_eq!((train.len(), test.len()), (7, 3));
    assert_eq!(
        (train[6].as_str(), test[0].as_str()),
        ("a/000060", "a/000070")
    );
    // Of whole recordings it is the last ones.
    write(folder.path(), "a.csv", LONG);
    let [train, test] = both(&path, "test = 0.25");
    assert_eq!((train.len(), test), (3, vec!["a/d".to_owned()]));
    assert!(part(&path, "", Part::Test).is_err());
}
