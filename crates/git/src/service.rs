//! The two services of git's smart protocol.

/// What a client asks git for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    /// From the `service` parameter of `info/refs`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    /// Git's verb.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    /// Media type of the advertisement.
    pub(crate) const fn advertisement(self) -> &'static str {
        match self {
            Self::UploadPack => "application/x-git-upload-pack-advertisement",
            Self::ReceivePack => "application/x-git-receive-pack-advertisement",
        }
    }

    /// Media type a request body must have.
    pub(crate) const fn request(self) -> &'static str {
        match self {
            Self::UploadPack => "application/x-git-upload-pack-request",
            Self::ReceivePack => "application/x-git-receive-pack-request",
        }
    }

    /// Media type of the answer.
    pub(crate) const fn result(self) -> &'static str {
        match self {
            Self::UploadPack => "application/x-git-upload-pack-result",
            Self::ReceivePack => "application/x-git-receive-pack-result",
        }
    }

    /// What opens the advertisement in the protocol's versions 0 and 1: a length-prefixed line that
    /// names the service, and a flush.
    pub(crate) fn preface(self) -> String {
        let line = format!("# service=git-{}\n", self.verb());
        format!("{:04x}{line}0000", line.len() + 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_counts_its_own_four_digits() {
        assert_eq!(Service::UploadPack.preface(), "001e# service=git-upload-pack\n0000");
        assert_eq!(Service::ReceivePack.preface(), "001f# service=git-receive-pack\n0000");
    }
}
