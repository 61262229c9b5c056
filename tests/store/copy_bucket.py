"""Copies every object below a prefix of a bucket into a folder: endpoint, bucket, prefix, folder."""

import pathlib
import sys

import boto3

endpoint, bucket, prefix, folder = sys.argv[1:]
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="reader",
    aws_secret_access_key="reader",
)
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
    for found in page.get("Contents", []):
        path = pathlib.Path(folder, found["Key"].removeprefix(prefix))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
