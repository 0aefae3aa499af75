"""What one bucket's access key opens, and what it does not: not another's bucket, nor IAM itself."""

import os

import boto3
from botocore.exceptions import ClientError

ENDPOINT, REGION = os.environ["ENDPOINT"], os.environ["REGION"]
OWN, OTHER = os.environ["BUCKET"], os.environ["OTHER_BUCKET"]


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION)


def refused(what, call, **given):
    try:
        call(**given)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code == "AccessDenied", f"{what}: {code}"
        return
    raise AssertionError(f"{what} was not refused")


s3, iam = client("s3"), client("iam")
s3.put_object(Bucket=OWN, Key="notes/one", Body=b"ours")
assert s3.get_object(Bucket=OWN, Key="notes/one")["Body"].read() == b"ours"
listed = s3.list_objects_v2(Bucket=OWN, Prefix="notes/")
assert [one["Key"] for one in listed["Contents"]] == ["notes/one"], listed
upload = s3.create_multipart_upload(Bucket=OWN, Key="large")["UploadId"]
s3.abort_multipart_upload(Bucket=OWN, Key="large", UploadId=upload)
s3.delete_object(Bucket=OWN, Key="notes/one")

refused("another's listing", s3.list_objects_v2, Bucket=OTHER)
refused("another's object", s3.get_object, Bucket=OTHER, Key="theirs")
refused("a write beside it", s3.put_object, Bucket=OTHER, Key="mine", Body=b"mine")
refused("its removal", s3.delete_object, Bucket=OTHER, Key="theirs")
refused("the list of buckets", s3.list_buckets)
refused("a bucket more", s3.create_bucket, Bucket="one-more")
refused("the end of its own bucket", s3.delete_bucket, Bucket=OWN)
refused("the list of users", iam.list_users)
refused("an access key more", iam.create_access_key, UserName=OWN)
refused(
    "another policy",
    iam.put_user_policy,
    UserName=OWN,
    PolicyName="towpath",
    PolicyDocument="{}",
)
