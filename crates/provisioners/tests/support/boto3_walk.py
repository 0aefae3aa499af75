"""Walks through what programs do with a bucket, by boto3; fails where something is not as on AWS."""

import datetime
import io
import os
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = os.environ["BUCKET"]
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["ENDPOINT"],
    region_name=os.environ["REGION"],
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        got = error.response["Error"]["Code"]
        assert got == code, f"{code} expected, not {got}"
    else:
        raise AssertionError(f"{code} expected")


assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [BUCKET]
s3.head_bucket(Bucket=BUCKET)
refused("403", s3.head_bucket, Bucket=os.environ["OTHER_BUCKET"])
refused("AccessDenied", s3.list_objects_v2, Bucket=os.environ["OTHER_BUCKET"])

# No key leads out of the bucket: each is a key of ours like any other.
for key in [
    "..", "../..", f"../{os.environ['OTHER_BUCKET']}/secret", f"x/../../{os.environ['OTHER_BUCKET']}/secret",
    "../../keys.sealed", "../../../../../../../../etc/passwd", "/etc/passwd", "./a", "a/./b", "a//b",
]:
    refused("NoSuchKey", s3.get_object, Bucket=BUCKET, Key=key)
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"ours")
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"ours"
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [key]
    s3.delete_object(Bucket=BUCKET, Key=key)

# Put and get, with what is said of the object; boto3 sends and checks a CRC32 by itself.
s3.put_object(
    Bucket=BUCKET, Key="a/ä +%&", Body=b"hello", ContentType="text/plain", Metadata={"who": "me"},
    CacheControl="no-store",
)
got = s3.get_object(Bucket=BUCKET, Key="a/ä +%&", ChecksumMode="ENABLED")
assert got["Body"].read() == b"hello"
assert got["ContentType"] == "text/plain" and got["Metadata"] == {"who": "me"}
assert got["CacheControl"] == "no-store" and got["ContentLength"] == 5
head = s3.head_object(Bucket=BUCKET, Key="a/ä +%&")
assert head["ETag"] == got["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
assert s3.get_object(Bucket=BUCKET, Key="a/ä +%&", Range="bytes=1-3")["Body"].read() == b"ell"
for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
    try:
        s3.put_object(Bucket=BUCKET, Key="sum", Body=b"x", ChecksumAlgorithm=algorithm)
    except Exception as error:  # CRC32C and CRC64NVME need a library that may be absent
        assert type(error).__name__ == "MissingDependencyException", error

# What there is not is refused rather than dropped, by whichever request asks for it.
EXPIRES = datetime.datetime(2031, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
s3.put_object(Bucket=BUCKET, Key="plain", Body=b"x")
for options in [
    SSE_C, {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "AES256"},
    {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": EXPIRES}, {"ObjectLockLegalHoldStatus": "ON"},
    {"Tagging": "a=b"}, {"ACL": "public-read"}, {"GrantRead": "uri=http://acs.amazonaws.com/groups/global/AllUsers"},
    {"StorageClass": "GLACIER"},
]:
    refused("NotImplemented", s3.put_object, Bucket=BUCKET, Key="more", Body=b"x", **options)
    refused(
        "NotImplemented", s3.copy_object, Bucket=BUCKET, Key="more", CopySource=f"{BUCKET}/plain", **options
    )
    refused("NotImplemented", s3.create_multipart_upload, Bucket=BUCKET, Key="more", **options)
refused("NotImplemented", s3.get_object, Bucket=BUCKET, Key="plain", **SSE_C)
refused("NotImplemented", s3.get_object, Bucket=BUCKET, Key="plain", VersionId="other")
refused("NotImplemented", s3.delete_object, Bucket=BUCKET, Key="plain", VersionId="other")
versions = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "plain", "VersionId": "other"}]})
assert [e["Code"] for e in versions["Errors"]] == ["NotImplemented"], versions
refused("404", s3.head_object, Bucket=BUCKET, Key="more")
assert s3.get_object(Bucket=BUCKET, Key="plain")["Body"].read() == b"x"
public = {"x-amz-acl": "public-read"}
form = s3.generate_presigned_post(BUCKET, "more", Fields=public, Conditions=[public])
boundary = "----towpath"
fields = "".join(
    f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    for name, value in form["fields"].items()
)
file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--{boundary}--\r\n'
try:
    urllib.request.urlopen(urllib.request.Request(
        form["url"], (fields + file).encode(),
        {"Content-Type": f"multipart/form-data; boundary={boundary}"}, method="POST",
    ))
    raise AssertionError("the form's ACL is taken")
except urllib.error.HTTPError as error:
    said = error.read()
    assert error.code == 501 and b"x-amz-acl" in said, (error.code, said)
refused("404", s3.head_object, Bucket=BUCKET, Key="more")

# What is so anyway may be asked for; when an object expires is kept.
s3.put_object(
    Bucket=BUCKET, Key="plain", Body=b"x", ACL="bucket-owner-full-control", StorageClass="STANDARD", Expires=EXPIRES,
    BucketKeyEnabled=False, ObjectLockLegalHoldStatus="OFF",
)
assert s3.head_object(Bucket=BUCKET, Key="plain")["Expires"] == EXPIRES
s3.copy_object(Bucket=BUCKET, Key="plain-copy", CopySource=f"{BUCKET}/plain", TaggingDirective="COPY")
assert s3.get_object(Bucket=BUCKET, Key="plain-copy")["Expires"] == EXPIRES
s3.delete_object(Bucket=BUCKET, Key="plain", VersionId="null")
refused("404", s3.head_object, Bucket=BUCKET, Key="plain")

# A stream whose length is known, and an empty object.
s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")
assert s3.get_object(Bucket=BUCKET, Key="empty")["Body"].read() == b""
refused("NoSuchKey", s3.get_object, Bucket=BUCKET, Key="missing")
refused("404", s3.head_object, Bucket=BUCKET, Key="missing")

# Listings, with pages and folders; keys are decoded by boto3.
for n in range(7):
    s3.put_object(Bucket=BUCKET, Key=f"list/{n}/x", Body=b"x")
pages = s3.get_paginator("list_objects_v2").paginate(
    Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 3}
)
prefixes = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
assert prefixes == [f"list/{n}/" for n in range(7)], prefixes
pages = s3.get_paginator("list_objects").paginate(
    Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 2}
)
prefixes = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
assert prefixes == [f"list/{n}/" for n in range(7)], prefixes
keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix="a/")["Contents"]]
assert keys == ["a/ä +%&"], keys
after = s3.list_objects_v2(Bucket=BUCKET, StartAfter="list/4/x", Prefix="list/")
assert after["KeyCount"] == 2 and not after["IsTruncated"]

# A large file goes up in parts, in parallel, and comes down in ranges.
large = os.urandom(13 * 1024 * 1024)
config = TransferConfig(multipart_threshold=5 * 1024 * 1024, multipart_chunksize=5 * 1024 * 1024)
s3.upload_fileobj(
    io.BytesIO(large), BUCKET, "large", Config=config, ExtraArgs={"ContentType": "image/x-large"}
)
down = io.BytesIO()
s3.download_fileobj(BUCKET, "large", down, Config=config)
assert down.getvalue() == large
assert s3.head_object(Bucket=BUCKET, Key="large")["ContentType"] == "image/x-large"

# Uploads that are given up.
upload = s3.create_multipart_upload(Bucket=BUCKET, Key="given-up")["UploadId"]
s3.upload_part(Bucket=BUCKET, Key="given-up", UploadId=upload, PartNumber=3, Body=b"part")
parts = s3.list_parts(Bucket=BUCKET, Key="given-up", UploadId=upload)["Parts"]
assert [(p["PartNumber"], p["Size"]) for p in parts] == [(3, 4)]
listed = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
assert [(u["Key"], u["UploadId"]) for u in listed] == [("given-up", upload)]
refused("NoSuchUpload", s3.list_parts, Bucket=BUCKET, Key="another", UploadId=upload)
s3.abort_multipart_upload(Bucket=BUCKET, Key="given-up", UploadId=upload)
assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)

# Copies: all at once, in parts, and over itself with new metadata.
s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "a/ä +%&"})
assert s3.get_object(Bucket=BUCKET, Key="copy")["Metadata"] == {"who": "me"}
s3.copy_object(
    Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "copy"},
    Metadata={"who": "you"}, MetadataDirective="REPLACE",
)
got = s3.get_object(Bucket=BUCKET, Key="copy")
assert got["Metadata"] == {"who": "you"} and got["Body"].read() == b"hello"
s3.copy({"Bucket": BUCKET, "Key": "large"}, BUCKET, "large-copy", Config=config)
assert s3.get_object(Bucket=BUCKET, Key="large-copy")["Body"].read() == large

# Presigned URLs need no key of the one who uses them.
url = s3.generate_presigned_url(
    "get_object",
    Params={"Bucket": BUCKET, "Key": "copy", "ResponseContentType": "application/x-test"},
    ExpiresIn=60,
)
with urllib.request.urlopen(url) as answer:
    assert answer.read() == b"hello"
    assert answer.headers["Content-Type"] == "application/x-test"

# All at once away.
keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
gone = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": k} for k in keys]})
assert sorted(d["Key"] for d in gone["Deleted"]) == sorted(keys) and "Errors" not in gone
assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
