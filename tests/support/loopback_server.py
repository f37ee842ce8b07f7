"""A small stand-in for the W&B server on 127.0.0.1: it answers what `wandb sync` asks, and keeps what it is sent."""

import gzip
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Received:
    """What arrived, by run id."""

    def __init__(self):
        self.projects = []
        self.views = {}  # by id: the newest variables of each
        self.sweeps = {}  # by id: its definition
        self.commands = []  # for the agents of a sweep, one a heartbeat; then the end
        self.upserts = []  # the id that each upsert of a view named
        self.runs = {}
        self.files = {}
        self.uploads = {}  # artifact files, by name
        self.committed = []  # artifacts whose upload was completed
        self.links = []  # collections of a registry, each with the artifact and its aliases

    def history(self, run_id):
        lines = self.files[run_id].get("wandb-history.jsonl", {})
        return [json.loads(lines[index]) for index in sorted(lines)]

    def summary(self, run_id):
        lines = self.files[run_id].get("wandb-summary.json", {})
        return json.loads(lines[max(lines)])

    def config(self, run_id):
        return {k: v["value"] for k, v in json.loads(self.runs[run_id]["config"]).items() if not k.startswith("_")}


def answer(query, variables, received, url):
    if "upsertBucket" in query:
        return {"upsertBucket": {"bucket": upsert(variables, received), "inserted": True}}
    if "serverInfo" in query:
        return {"serverInfo": {"cliVersionInfo": {"max_cli_version": "9.9.9"}, "features": []}}
    if "viewer" in query:
        return {"viewer": {"id": "1", "username": "me", "entity": "me", "flags": "{}", "teams": {"edges": []}}}
    if "createRunFiles" in query:
        return {"createRunFiles": {"runID": variables.get("run"), "uploadHeaders": [], "files": []}}
    if "RunResumeStatus" in query:
        return {"model": resume_status(variables, received)}
    found = answer_sweep(query, variables, received) or answer_view(query, variables, received)
    found = found or answer_registry(query, variables, received, url)
    return found or answer_artifact(query, variables, received, url)


def answer_registry(query, variables, received, url):
    """The steps of a link in a registry, and of a download."""
    if "FetchOrgInfoFromEntity" in query:
        return {"entity": {"organization": {"name": "Firm", "orgEntity": {"name": "firm"}}, "user": None}}
    if "ArtifactMembershipByName" in query:
        name, _, _ = variables["name"].partition(":")
        membership = describe_membership(name, received, project=variables["project"])
        return {"project": {"artifactCollectionMembership": membership if name in received.committed else None}}
    if "FetchArtifactManifest" in query:
        return {
            "artifact": {"currentManifest": {"file": {"directUrl": f"{url}/upload/manifest/{variables['id']}/FULL"}}}
        }
    if "GetArtifactMembershipFileUrls" in query:
        names = [name for name in received.uploads if not name.startswith("manifest/")]
        nodes = [{"__typename": "File", "name": name, "directUrl": f"{url}/upload/{name}"} for name in names]
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        files = {"pageInfo": page, "edges": [{"node": node} for node in nodes]}
        membership = {"__typename": "ArtifactSequence", "artifactMembership": {"files": files}}
        return {"project": {"artifactCollection": membership}}
    if "LinkArtifact" in query:
        link = variables["input"]
        aliases = [alias["alias"] for alias in link["aliases"]]
        where = "/".join(link[key] for key in ("entityName", "projectName", "artifactPortfolioName"))
        received.links.append((where, link["artifactID"], aliases))
        membership = describe_membership(link["artifactID"], received, project=link["projectName"])
        return {"result": {"versionIndex": 0, "artifactMembership": membership}}
    return None


def describe_membership(name, received, *, project):
    place = {"id": "p", "internalId": "12", "name": project, "entity": {"name": "me"}}
    collection = {"__typename": "ArtifactSequence", "name": name, "project": place}
    artifact = {
        "__typename": "Artifact", "id": name, "artifactSequence": collection, "versionIndex": 0,
        "artifactType": {"name": "bundle"}, "description": None, "metadata": None, "ttlDurationSeconds": -2,
        "ttlIsInherited": True, "tags": [], "historyStep": None, "state": "COMMITTED",
        "size": sum(map(len, received.uploads.values())), "digest": "", "commitHash": None,
        "fileCount": len(received.uploads), "createdAt": "2026-01-01T00:00:00Z", "updatedAt": None, "aliases": [],
    }  # fmt: skip
    return {
        "__typename": "ArtifactCollectionMembership", "id": name, "versionIndex": 0, "aliases": [],
        "createdAt": "2026-01-01T00:00:00Z", "artifactCollection": collection, "artifact": artifact,
    }  # fmt: skip


def answer_sweep(query, variables, received):
    """The steps of a sweep: register it, let an agent ask what to run until there is no more."""
    if "upsertSweep" in query:
        name = f"sweep{len(received.sweeps)}"
        received.sweeps[name] = variables["config"]
        project = {"id": "p", "name": variables["projectName"], "entity": {"id": "e", "name": "me"}}
        return {"upsertSweep": {"sweep": {"name": name, "project": project}, "configValidationWarnings": []}}
    if "SweepWithRuns" in query:
        name = variables["sweep"]
        sweep = {"id": name, "name": name, "config": received.sweeps[name], "runs": {"edges": []}}
        return {"project": {"sweep": sweep}}
    if "createAgent" in query:
        return {"createAgent": {"agent": {"id": "agent"}}}
    if "agentHeartbeat" in query:
        is_busy = bool(json.loads(variables["runState"]))
        due = [] if is_busy else [received.commands.pop(0) if received.commands else {"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(due)}}
    return None


def answer_view(query, variables, received):
    """The steps of a workspace or a report: the project, then the view itself."""
    if "ProjectInternalId" in query:
        known = variables["projectName"] in received.projects
        return {"project": {"id": "p", "internalId": "12"} if known else None}
    if "GetProjects" in query:
        nodes = [{"__typename": "Project", **describe_project(name)} for name in received.projects]
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": node} for node in nodes]}}
    if "upsertModel" in query:
        received.projects.append(variables["input"]["name"])
        return {"upsertModel": {"model": describe_project(variables["input"]["name"]), "inserted": True}}
    if "upsertView" in query:
        return {"upsertView": {"view": upsert_view(variables, received), "inserted": not variables.get("id")}}
    return None


def describe_project(name):
    plain = {"createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False, "user": None}
    return {"id": "p", "name": name, "entityName": "me", **plain}


def upsert_view(variables, received):
    name = variables.get("id") or f"view{len(received.views)}"
    received.upserts.append(variables.get("id"))
    received.views[name] = variables
    project = {"id": "p", "name": variables["projectName"], "entityName": variables["entityName"]}
    shown = {key: variables.get(key) for key in ("type", "name", "displayName", "description", "spec")}
    return {"id": name, **shown, "project": project, "updatedAt": "2026-01-01T00:00:00Z"}


def answer_artifact(query, variables, received, url):
    """The steps of an artifact's upload: create, two manifests, the files, commit."""
    if "ArtifactType" in query:
        return {"project": {"artifact": None}}  # the name is still free
    if "createArtifactManifest" in query:
        place = f"manifest/{variables['artifactID']}/{variables['manifestType']}"
        upload = {"uploadUrl": f"{url}/upload/{place}", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "1", "file": {"id": "1", **upload}}}}
    if "createArtifactFiles" in query:
        files = variables["input"]["artifactFiles"]
        edges = [{"node": artifact_file(file["name"], url)} for file in files]
        return {"createArtifactFiles": {"files": {"edges": edges}}}
    if "createArtifact" in query:
        sequence = {"id": "1", "latestArtifact": None}
        name = variables["input"]["artifactCollectionName"]
        return {"createArtifact": {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}}
    if "commitArtifact" in query:
        received.committed.append(variables["artifactID"])
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": ""}}}
    return {}


def artifact_file(name, url):
    return {
        "id": name, "name": name, "displayName": name, "storagePath": f"upload/{name}",
        "uploadUrl": f"{url}/upload/{name}", "uploadHeaders": [], "uploadMultipartUrls": None, "artifact": {"id": "1"},
    }  # fmt: skip


def resume_status(variables, received):
    """What the server knows of a run that a client wants to go on with."""
    run_id = variables["name"]
    if run_id not in received.runs:
        return {"id": "1", "name": "treadle", "entity": {"id": "1", "name": "me"}, "bucket": None}
    history = received.files[run_id].get("wandb-history.jsonl", {})
    tail = [history[max(history)]] if history else []
    bucket = {
        "id": run_id, "name": run_id, "sweepName": None, "config": received.runs[run_id].get("config"),
        "summaryMetrics": json.dumps(received.summary(run_id)), "historyLineCount": len(history),
        "historyTail": json.dumps(tail), "eventsLineCount": 0, "eventsTail": "[]", "logLineCount": 0,
        "displayName": received.runs[run_id].get("displayName"), "tags": [],
        "wandbConfig": json.dumps({"t": 1}),
    }  # fmt: skip
    return {"id": "1", "name": "treadle", "entity": {"id": "1", "name": "me"}, "bucket": bucket}


def upsert(variables, received):
    name = variables.get("name") or variables.get("id")
    known = received.runs.setdefault(name, {})
    known.update({key: value for key, value in variables.items() if value is not None})
    received.files.setdefault(name, {})
    project = {"name": variables.get("project") or "treadle", "entity": {"name": "me"}}
    return {
        "id": name, "name": name, "displayName": known.get("displayName"), "description": None, "config": None,
        "sweepName": None, "historyLineCount": 0, "project": project,
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        received = self.server.received
        stream = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
        if self.path != "/graphql" and not stream:
            self.reply({})
            return
        body = json.loads(gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw)
        if self.path == "/graphql":
            url = f"http://127.0.0.1:{self.server.server_port}"
            self.reply({"data": answer(body["query"], body.get("variables") or {}, received, url)})
            return
        if stream:
            files = received.files.setdefault(stream[1], {})
            for name, content in (body.get("files") or {}).items():
                lines = files.setdefault(name, {})
                lines.update({content["offset"] + i: line for i, line in enumerate(content["content"])})
            if body.get("complete") is not None:
                files["exitcode"] = body.get("exitcode")
        self.reply({})

    def do_GET(self):
        if self.path.startswith("/upload/"):
            self.send(self.server.received.uploads[self.path.removeprefix("/upload/")])
        else:
            self.reply({})

    def do_PUT(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/upload/"):
            self.server.received.uploads[self.path.removeprefix("/upload/")] = content
        self.reply({})

    def reply(self, content):
        self.send(json.dumps(content).encode())

    def send(self, data):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serve():
    """A running server: `(its address, what it received)`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.received = Received()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
