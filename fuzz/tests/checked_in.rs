//! The Score files that are checked in, right and wrong, whole and cut off anywhere.

use std::path::Path;

#[test]
fn score_files_whole_and_cut_off() {
    let mut files = 0;
    for directory in ["valid", "mistakes", "samples"] {
        let directory = Path::new("../crates/delivery/tests/score").join(directory);
        for entry in std::fs::read_dir(&directory).expect("the files are there") {
            let path = entry.expect("the directory can be read").path();
            if !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path).expect("the file can be read");
            files += 1;
            towpath_fuzz::score_parse(&bytes);
            towpath_fuzz::placeholder(&String::from_utf8_lossy(&bytes));
            for part in 1..16 {
                towpath_fuzz::score_parse(&bytes[..bytes.len() * part / 16]);
            }
        }
    }
    assert!(files > 10, "only {files} files were found");
}
