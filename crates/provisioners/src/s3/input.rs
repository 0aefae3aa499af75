//! What several requests say in fields of the same names: their types have nothing else in common.

/// What the client says of the object, in whichever request.
macro_rules! about {
    ($input:expr) => {
        $crate::s3::record::About {
            cache_control: $input.cache_control,
            content_disposition: $input.content_disposition,
            content_encoding: $input.content_encoding,
            content_language: $input.content_language,
            content_type: $input.content_type,
            expires: $input.expires,
            website_redirect_location: $input.website_redirect_location,
            metadata: $input
                .metadata
                .unwrap_or_default()
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>(),
        }
    };
}

/// What the client says that the bytes amount to, in whichever request.
macro_rules! expected {
    ($input:expr, $trailers:expr) => {
        $crate::s3::receive::Expected {
            md5: $input.content_md5,
            algorithm: $input.checksum_algorithm,
            sums: $crate::s3::record::Sums {
                crc32: $input.checksum_crc32,
                crc32c: $input.checksum_crc32c,
                crc64nvme: $input.checksum_crc64nvme,
                sha1: $input.checksum_sha1,
                sha256: $input.checksum_sha256,
            },
            trailers: $trailers,
        }
    };
}

pub(super) use {about, expected};
