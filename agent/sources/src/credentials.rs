//! No secret leaves a host: user and password in URLs are struck out before anything else sees them.

/// What stands in place of `user:password`.
const STRUCK: &str = "***";

/// The text with every `scheme://user:password@host` as `scheme://***@host`.
pub(crate) fn strike(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        kept.push_str(before);
        // An authority ends at the path, or where a list of URLs (GOPROXY) or a quoted word goes on.
        let end =
            after.find(|c: char| matches!(c, '/' | '?' | '#' | ',' | '|' | '"' | '\'') || c.is_whitespace());
        let (authority, behind) = after.split_at(end.unwrap_or(after.len()));
        if let Some((_, host)) = authority.rsplit_once('@') {
            kept.push_str(STRUCK);
            kept.push('@');
            kept.push_str(host);
        } else {
            kept.push_str(authority);
        }
        rest = behind;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::strike;

    #[test]
    fn passwords_are_struck_out_and_nothing_else() {
        for (text, kept) in [
            ("https://proxy.golang.org,direct", "https://proxy.golang.org,direct"),
            (
                "https://ann:s3cret@goproxy.acme.com/go,https://bob@b.c|direct",
                "https://***@goproxy.acme.com/go,https://***@b.c|direct",
            ),
            ("-X main.repo=https://t0ken@git.acme.com/x -s", "-X main.repo=https://***@git.acme.com/x -s"),
            ("git@github.com:acme/pay", "git@github.com:acme/pay"),
            ("https://a:p@ss@host", "https://***@host"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(strike(text), kept);
        }
    }
}
