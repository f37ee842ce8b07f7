"""Files at an address: fetched once, and again when they change; no credential is written or told."""

import pytest

from file_server import serve_files
from treadle import remote
from treadle.errors import TreadleError
from treadle.remote import fetch

SECRET = "pa/ss w+rd%41"  # noqa: S105 - with characters that an address quotes


@pytest.fixture
def files():
    with serve_files() as served:
        served.contents["/a.csv"] = b"a\n1\n"
        yield served
        remote.forget()


def again(address, folder):
    """As another process would."""
    remote.forget()
    return fetch(address, folder=folder)


def read_all(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_once_and_again_when_it_changes(files, tmp_path, capsys):
    (copy,) = fetch(f"{files.url}/a.csv", folder=tmp_path)
    assert (copy.name, copy.read_bytes()) == ("a.csv", b"a\n1\n")
    assert "fetched http://127.0.0.1" in capsys.readouterr().err

    assert again(f"{files.url}/a.csv", tmp_path) == [copy]
    assert files.count("GET") == 1

    files.contents["/a.csv"] = b"a\n2\n"
    again(f"{files.url}/a.csv", tmp_path)
    assert copy.read_bytes() == b"a\n2\n"
    assert files.count("GET") == 2


def test_a_process_asks_once_in_a_while(files, tmp_path):
    fetch(f"{files.url}/a.csv", folder=tmp_path)
    before = len(files.requests)

    fetch(f"{files.url}/a.csv", folder=tmp_path)

    assert len(files.requests) == before


def test_where_a_server_does_not_say_whether_a_file_has_changed_it_is_fetched_each_time(files, tmp_path):
    files.tags = False

    for _ in range(2):
        again(f"{files.url}/a.csv", tmp_path)

    assert files.count("GET") == 2


def test_a_signed_address_is_in_no_file(files, tmp_path):
    (copy,) = fetch(f"{files.url}/a.csv?X-Amz-Signature=abc123def", folder=tmp_path)

    assert copy.read_bytes() == b"a\n1\n"
    assert b"abc123def" not in read_all(tmp_path)


def test_there_may_be_no_file(files, tmp_path):
    assert fetch(f"{files.url}/b.csv", folder=tmp_path) == []


@pytest.mark.parametrize("way", ["a parameter", "a password"])
def test_a_secret_of_the_environment_is_used_and_not_written(files, tmp_path, monkeypatch, way):
    monkeypatch.setenv("SECRET", SECRET)
    files.token, files.user = (SECRET, "") if way == "a parameter" else ("", f"me:{SECRET}")
    host = files.url.removeprefix("http://")
    address = f"{files.url}/a.csv?token=$SECRET" if way == "a parameter" else f"http://me:$SECRET@{host}/a.csv"

    (copy,) = fetch(address, folder=tmp_path)

    assert copy.read_bytes() == b"a\n1\n"
    assert b"$SECRET" in read_all(tmp_path)
    assert b"pa/ss" not in read_all(tmp_path)


def test_a_server_that_refuses_is_told_without_the_secret(files, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "wrong-value")
    files.token = SECRET

    with pytest.raises(TreadleError) as caught:
        fetch(f"{files.url}/a.csv?token=$SECRET", folder=tmp_path)

    assert "401" in str(caught.value)
    assert "token=$SECRET" in str(caught.value)
    assert "wrong-value" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_variable_that_is_not_set_is_told(files, tmp_path, monkeypatch):
    monkeypatch.delenv("SECRET", raising=False)

    with pytest.raises(TreadleError, match="the environment has no SECRET, which the address names"):
        fetch(f"{files.url}/a.csv?token=$SECRET", folder=tmp_path)


def test_without_a_network_the_copy_is_used_where_that_is_wanted(files, tmp_path, monkeypatch):
    (copy,) = fetch(f"{files.url}/a.csv", folder=tmp_path)
    address = "http://127.0.0.1:1/a.csv"

    with pytest.raises(TreadleError, match=r"cannot be read: .*set TREADLE_OFFLINE=1 to use the copy"):
        again(address, tmp_path)
    monkeypatch.setenv("TREADLE_OFFLINE", "1")
    before = len(files.requests)
    assert again(f"{files.url}/a.csv", tmp_path) == [copy]
    assert again(address, tmp_path) == []
    assert len(files.requests) == before


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://me:pw@host/a.csv", r"ftp://\*\*\*:\*\*\*@host/a.csv: files are read from .*`ftp://` is none of these"),
        ("gs://bucket/a.csv", r"gs:// needs its library: pip install 'treadle\[gs\]'"),
        ("http://127.0.0.1:1/", "the address of a folder; name a file of it"),
    ],
)
def test_an_address_that_cannot_be_read(tmp_path, address, told):
    with pytest.raises(TreadleError, match=told):
        fetch(address, folder=tmp_path)


@pytest.mark.exhaustive
def test_files_of_a_bucket_are_fetched_by_a_pattern(tmp_path, monkeypatch):
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    try:
        store = s3fs.S3FileSystem()
        store.mkdir("bucket")
        for name in ("b", "a", "c.x"):
            store.pipe(f"bucket/{name}.csv", name.encode())

        copies = fetch("s3://bucket/*.csv", folder=tmp_path)

        assert [copy.name for copy in copies] == ["a.csv", "b.csv", "c.x.csv"]
        assert again("s3://bucket/*.csv", tmp_path) == copies
        store.pipe("bucket/a.csv", b"new")
        assert again("s3://bucket/*.csv", tmp_path)[0].read_bytes() == b"new"
        assert again("s3://bucket/none.csv", tmp_path) == []
        with pytest.raises(TreadleError, match="the address of a folder"):
            again("s3://bucket", tmp_path)
        assert b"pa/ss" not in read_all(tmp_path)
    finally:
        server.stop()


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")  # of the libraries, whose credentials are not there, and of the server
def test_files_of_a_bucket_of_google_cloud_are_fetched(tmp_path, monkeypatch):
    server = pytest.importorskip("gcp_storage_emulator.server")
    gcsfs = pytest.importorskip("gcsfs")
    emulator = server.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    emulator.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{emulator._api._httpd.server_port}")  # noqa: SLF001 - it does not tell
    try:
        store = gcsfs.GCSFileSystem()
        for name in ("b", "a"):
            store.pipe(f"bucket/{name}.csv", name.encode())

        copies = fetch("gs://bucket/*.csv", folder=tmp_path)

        assert [copy.read_bytes() for copy in copies] == [b"a", b"b"]
        store.pipe("bucket/a.csv", b"new")
        assert again("gs://bucket/*.csv", tmp_path)[0].read_bytes() == b"new"
        assert again("gs://bucket/none.csv", tmp_path) == []
    finally:
        emulator.stop()
