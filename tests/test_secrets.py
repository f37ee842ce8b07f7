"""A secret in an address is found, and never shown."""

import pytest

from treadle.secrets import find_secret, redact

SECRET = "hunter2"  # noqa: S105
FOUND = [
    f"https://me:{SECRET}@host/a.csv",
    f"https://{SECRET}@host/a.csv",
    f"s3://key:{SECRET}@bucket/a.csv",
    f"https://host/a.csv?token={SECRET}",
    f"https://b.s3.amazonaws.com/a.csv?X-Amz-Date=20240101&X-Amz-Signature={SECRET}",
    f"https://a.blob.core.windows.net/c/a.csv?sv=2024&sig={SECRET}",
    f"https://host/a.csv?year=2013&api_key={SECRET}",
    f"postgresql://me:{SECRET}@host/db",
    f"postgresql://me:{SECRET}#{SECRET}@db/out",
    f"postgresql://me:p/{SECRET}?{SECRET}@{SECRET}@db/out",
]
CLEAN = [
    "https://host/a.csv?year=2013&format=csv",
    "https://$USER:$PASSWORD@host/a.csv?sig=$SIGNATURE",
    "abfs://container@account.dfs.core.windows.net/a.parquet",
    "s3://bucket/part-*.parquet",
    "data/a@b:c.csv",
    "http://host:8080/a@b.csv",
    "http://[::1]:8080/a@b.csv",
    "https://$USER:$PASSWORD@host:$PORT/a@b.csv",
]


@pytest.mark.parametrize("address", FOUND)
def test_a_secret_is_found_and_hidden(address):
    told = f"data.tables.t.path={address!r}: no such file; see {address}"

    assert find_secret(address)
    assert SECRET not in find_secret(address) + redact(told)
    assert "***" in redact(told)


@pytest.mark.parametrize("address", CLEAN)
def test_an_address_without_a_secret_stays_as_it_is(address):
    assert not find_secret(address)


@pytest.mark.parametrize("address", [text for text in CLEAN if not text.startswith("abfs")])
def test_what_is_no_secret_is_shown(address):
    assert redact(f"no file at {address!r}") == f"no file at {address!r}"
