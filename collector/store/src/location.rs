//! Where a store is: a folder, or a prefix in a bucket.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::StoreError;

/// Tries after the first, for one request.
const RETRIES: usize = 6;
/// No try begins later than this after the first try.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// Time-out of a request, its octets included: 64 MiB over 2 Mbit/s.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// Time-out of a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A folder of this machine, or a bucket (container) of an object store and a prefix in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A folder.
    Folder(PathBuf),
    /// `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    Bucket(Url),
}

impl Location {
    /// Parses the value of `--store` and `store = `.
    ///
    /// # Errors
    /// [`StoreError::Location`] if a URL has another scheme, no bucket, or anything beside bucket and
    /// prefix: keys and passwords belong into the environment.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let refused = |reason| StoreError::Location {
            // The rest may hold secrets.
            text: text
                .split_once("://")
                .map_or(text, |(scheme, _)| scheme)
                .to_owned(),
            reason,
        };
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::Folder(PathBuf::from(text)));
        };
        if !["s3", "gs", "az"].contains(&scheme) {
            return Err(refused("give a folder, s3://, gs:// or az://"));
        }
        let url = Url::parse(text).map_err(|_| refused("it is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(refused(
                "it holds more than a bucket and a prefix; credentials come from the environment",
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refused("it names no bucket"));
        }
        Ok(Self::Bucket(url))
    }

    /// The folder; none for a bucket.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Bucket(_) => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket(url) => f.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

/// A bucket, ready for requests, and the store's prefix in it.
///
/// Credentials, region and endpoint come from the environment: `AWS_*`, `GOOGLE_*`, `AZURE_*`, as
/// the providers' own tools read them. A request that fails because of the server is tried again, up to
/// 6 times within 60 seconds, with growing pauses.
///
/// # Errors
/// [`StoreError::Bucket`] if the environment does not describe the bucket; [`StoreError::Location`] if
/// the prefix is not a path.
pub fn bucket(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    };
    // An operator may run a server without TLS beside the collector, and has to name it.
    let client = ClientOptions::new()
        .with_timeout(ANSWER_WITHIN)
        .with_connect_timeout(CONNECT_WITHIN)
        .with_allow_http(true);
    let name = url.host_str().unwrap_or_default();
    let objects: Result<Arc<dyn ObjectStore>, _> = match url.scheme() {
        "gs" => GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(name)
            .with_client_options(client)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        "az" => MicrosoftAzureBuilder::from_env()
            .with_container_name(name)
            .with_client_options(client)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        _ => AmazonS3Builder::from_env()
            .with_bucket_name(name)
            .with_client_options(client)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
    };
    let objects = objects.map_err(|error| StoreError::Bucket {
        url: url.to_string(),
        source: Box::new(error),
    })?;
    let prefix = Path::from_url_path(url.path()).map_err(|_| StoreError::Location {
        text: url.to_string(),
        reason: "its prefix is not a path",
    })?;
    Ok((objects, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_told_apart() {
        let folder = Location::parse("/var/lib/noctule").unwrap();
        assert_eq!(folder, Location::Folder("/var/lib/noctule".into()));
        for text in ["s3://telescope/a/b", "gs://telescope", "az://box/x"] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.folder(), None);
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_repeating_secrets() {
        for text in [
            "ftp://telescope/a",
            "s3://",
            "s3://key:secret@telescope/a",
            "s3://telescope/a?token=secret",
        ] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("store"), "{error}");
        }
    }
}
